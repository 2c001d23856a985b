//! Who a series of journal files belongs to.

use crate::units::{ByteLen, DeviceId, VolumeId};

/// One device of a volume. A mirror device must have the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Carried in every journal file.
    pub id: DeviceId,
    /// Size of the device.
    pub size: ByteLen,
    /// Logical block size in bytes: a power of two from 512 to 4096. Offsets and lengths of
    /// requests are multiples of it.
    pub block_size: u32,
}

/// A volume: one mirrored disk, or a group of disks under one order of LSNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeIdentity {
    /// Carried in every journal file.
    pub id: VolumeId,
    /// At least one, at most 16.
    pub devices: Vec<DeviceIdentity>,
}

impl VolumeIdentity {
    /// A new volume of one device.
    pub fn generate(size: ByteLen, block_size: u32) -> Self {
        let device = DeviceIdentity {
            id: DeviceId::generate(),
            size,
            block_size,
        };
        Self {
            id: VolumeId::generate(),
            devices: vec![device],
        }
    }
}

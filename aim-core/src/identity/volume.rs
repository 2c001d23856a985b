//! A volume and its devices: `volume.id`, on the source and on the mirror.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::state_file::{StateError, StateFile, frame, require_value, require_zero, unframe};
use crate::units::{ByteLen, DeviceId, Epoch, VolumeId};

/// Most devices that a volume can have.
pub const DEVICES_MAX: usize = 16;

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
    /// Carried in every journal file, too: which of the hosts' successive sources writes it.
    pub epoch: Epoch,
    /// At least one, at most [`DEVICES_MAX`].
    pub devices: Vec<DeviceIdentity>,
}

impl VolumeIdentity {
    /// A new volume of one device, in its first epoch.
    pub fn generate(size: ByteLen, block_size: u32) -> Self {
        let device = DeviceIdentity {
            id: DeviceId::generate(),
            size,
            block_size,
        };
        Self {
            id: VolumeId::generate(),
            epoch: Epoch(1),
            devices: vec![device],
        }
    }
}

impl StateFile for VolumeIdentity {
    const NAME: &'static str = "volume.id";

    /// # Panics
    ///
    /// If there are more than [`DEVICES_MAX`] devices.
    fn encode(&self) -> Vec<u8> {
        let mut body = VolumeBody {
            volume: self.id.0,
            epoch: self.epoch.get().into(),
            device_count: (self.devices.len() as u32).into(),
            reserved: [0; 8],
            devices: [DeviceRecord::EMPTY; DEVICES_MAX],
        };
        for (record, device) in body.devices[..self.devices.len()]
            .iter_mut()
            .zip(&self.devices)
        {
            *record = DeviceRecord {
                id: device.id.0,
                size: device.size.get().into(),
                block_size: device.block_size.into(),
                reserved: [0; 4],
            };
        }
        frame(VOLUME_MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: VolumeBody = unframe(Self::NAME, VOLUME_MAGIC, bytes)?;
        require_zero(Self::NAME, &body.reserved)?;
        require_value(Self::NAME, "epoch", body.epoch.get().into(), |epoch| {
            epoch > 0
        })?;
        let count = body.device_count.get();
        require_value(Self::NAME, "device count", count.into(), |count| {
            (1..=DEVICES_MAX as u64).contains(&count)
        })?;
        let (used, unused) = body.devices.split_at(count as usize);
        require_zero(Self::NAME, unused.as_bytes())?;
        Ok(Self {
            id: VolumeId(body.volume),
            epoch: Epoch(body.epoch.get()),
            devices: used
                .iter()
                .map(DeviceRecord::parse)
                .collect::<Result<_, _>>()?,
        })
    }
}

const VOLUME_MAGIC: [u8; 8] = *b"\x89AIMvol\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct VolumeBody {
    volume: [u8; 16],
    epoch: U32,
    device_count: U32,
    reserved: [u8; 8],
    devices: [DeviceRecord; DEVICES_MAX],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DeviceRecord {
    id: [u8; 16],
    size: U64,
    block_size: U32,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<DeviceRecord>() == 32);
const _: () = assert!(size_of::<VolumeBody>() == 544);

impl DeviceRecord {
    const EMPTY: Self = Self {
        id: [0; 16],
        size: U64::ZERO,
        block_size: U32::ZERO,
        reserved: [0; 4],
    };

    fn parse(&self) -> Result<DeviceIdentity, StateError> {
        let name = VolumeIdentity::NAME;
        let block_size = self.block_size.get();
        require_zero(name, &self.reserved)?;
        require_value(name, "block size", block_size.into(), |size| {
            size.is_power_of_two() && (512..=4096).contains(&size)
        })?;
        require_value(name, "device size", self.size.get(), |size| {
            size > 0 && size.is_multiple_of(block_size.into())
        })?;
        Ok(DeviceIdentity {
            id: DeviceId(self.id),
            size: ByteLen(self.size.get()),
            block_size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;

    #[test]
    fn identity_comes_back_and_no_altered_one_is_taken() {
        let mut volume = VolumeIdentity::generate(ByteLen(1 << 30), 512);
        assert_exact(&volume);
        let device = DeviceIdentity {
            id: DeviceId::generate(),
            size: ByteLen(8192),
            block_size: 4096,
        };
        volume.devices.resize(DEVICES_MAX, device);
        assert_exact(&volume);
    }

    #[test]
    fn impossible_devices_are_refused() {
        for (size, block_size) in [(4096, 0), (4096, 513), (4096, 8192), (0, 512), (600, 512)] {
            let volume = VolumeIdentity::generate(ByteLen(size), block_size);
            let decoded = VolumeIdentity::decode(&volume.encode());
            assert!(
                matches!(decoded, Err(StateError::Value { .. })),
                "{decoded:?}"
            );
        }
    }
}

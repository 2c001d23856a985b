//! A mirror on doubles that forget what was not synced.

use std::sync::Arc;

use aim_core::cursor::{MirrorCursor, MirrorCursorFile};
use aim_core::device::BlockDevice;
use aim_core::fs::Directory;
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::replay::{Replay, ReplayError};
use aim_core::units::{ByteLen, DeviceId};
use aim_tests::{MemFileSystem, Power, VolatileDevice};

/// A volume of two small disks with different blocks.
pub(super) fn two_disks() -> VolumeIdentity {
    let mut volume = VolumeIdentity::generate(ByteLen(32 * 512), 512);
    volume.devices.push(DeviceIdentity {
        id: DeviceId::generate(),
        size: ByteLen(16 * 4096),
        block_size: 4096,
    });
    volume
}

/// The mirror host: devices and a folder under one power.
pub(super) struct Mirror {
    pub(super) power: Arc<Power>,
    pub(super) devices: Vec<Arc<VolatileDevice>>,
    pub(super) file_system: MemFileSystem,
    identity: VolumeIdentity,
}

impl Mirror {
    pub(super) fn new(identity: &VolumeIdentity, seed: u64) -> Self {
        let power = Power::steady();
        let devices = identity.devices.iter();
        Self {
            devices: devices
                .map(|device| {
                    VolatileDevice::new(device.size, device.block_size, power.clone(), seed)
                })
                .collect(),
            file_system: MemFileSystem::new(power.clone()),
            identity: identity.clone(),
            power,
        }
    }

    pub(super) fn folder(&self) -> Arc<dyn Directory> {
        self.file_system.folder("/mirror")
    }

    pub(super) fn cursor(&self) -> MirrorCursor {
        self.cursor_file().get()
    }

    pub(super) fn cursor_file(&self) -> MirrorCursorFile {
        MirrorCursorFile::open(self.folder(), self.identity.id).unwrap()
    }

    /// What a start of the applier makes of devices and folder.
    pub(super) fn start(&self) -> Result<Replay, ReplayError> {
        let devices = self.devices.iter().cloned();
        let devices = devices.map(|device| device as Arc<dyn BlockDevice>);
        self.start_with(devices.collect(), self.folder())
    }

    pub(super) fn start_with(
        &self,
        devices: Vec<Arc<dyn BlockDevice>>,
        folder: Arc<dyn Directory>,
    ) -> Result<Replay, ReplayError> {
        let cursor = MirrorCursorFile::open(folder, self.identity.id);
        let cursor = cursor.map_err(ReplayError::Cursor)?;
        Replay::new(self.identity.clone(), devices, Arc::new(cursor))
    }

    /// The host loses its power and gets it back.
    pub(super) fn power_cut(&self, seed: u64) {
        self.power.cut();
        for device in &self.devices {
            device.power_cut();
        }
        self.file_system.crash(seed);
        self.power.restore();
    }

    /// What the devices hold.
    pub(super) fn content(&self) -> Vec<Vec<u8>> {
        self.devices.iter().map(|device| device.content()).collect()
    }
}

//! Mechanisms of replay that a test can take away.

use std::io;
use std::sync::Arc;

use aim_core::cursor::MirrorCursor;
use aim_core::device::BlockDevice;
use aim_core::fs::{DirFile, Directory};
use aim_core::replay::{Replay, ReplayError};
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_core::units::{ByteLen, ByteOffset};

use super::mirror::Mirror;

/// A mechanism of replay that a test can take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// The intent is never stored.
    Intent,
    /// `applied` is stored with the intent, before anything is done.
    EarlyCursor,
    /// The devices are never synced.
    DeviceSync,
    /// The folder of the cursor is never synced.
    FolderSync,
}

/// What a start of the applier gives where a mechanism is missing.
pub(super) fn start(mirror: &Mirror, broken: Broken) -> Result<Replay, ReplayError> {
    let devices = mirror.devices.iter().map(|device| -> Arc<dyn BlockDevice> {
        match broken {
            Broken::DeviceSync => Arc::new(NeverSynced(device.clone())),
            _ => device.clone(),
        }
    });
    let folder = match broken {
        Broken::Nothing | Broken::DeviceSync => mirror.folder(),
        _ => Arc::new(BrokenFolder {
            folder: mirror.folder(),
            broken,
        }),
    };
    mirror.start_with(devices.collect(), folder)
}

/// A device whose applier forgot to sync it.
#[derive(Debug)]
struct NeverSynced(Arc<dyn BlockDevice>);

impl BlockDevice for NeverSynced {
    fn size(&self) -> ByteLen {
        self.0.size()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        self.0.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder whose user stores the cursor too late, too early, or does not sync.
#[derive(Debug)]
struct BrokenFolder {
    folder: Arc<dyn Directory>,
    broken: Broken,
}

impl Directory for BrokenFolder {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        self.folder.open(name, writable)
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        let content = self.folder.read_small(name, FILE_BYTES_MAX)?;
        match MirrorCursor::decode(&content) {
            Ok(cursor) if !cursor.is_settled() => match self.broken {
                Broken::Intent => return self.folder.remove(name),
                Broken::EarlyCursor => {
                    let early = MirrorCursor {
                        applied: cursor.intent,
                        received: cursor.intent,
                        ..cursor
                    };
                    let file = self.folder.open(name, true)?;
                    file.write_all_at(&[io::IoSlice::new(&early.encode())], 0)?;
                    file.sync_data()?;
                }
                _ => {}
            },
            _ => {}
        }
        self.folder.rename(name, to, to_name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        match self.broken {
            Broken::FolderSync => Ok(()),
            _ => self.folder.sync(),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        self.folder.subdirectory(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }
}

//! A disk of the operating system: a block device, or a plain file as its image.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::direct::{Chunk, Direct};
use super::{BlockDevice, WriteBatch, check_range, fingerprint, zeroing};
use crate::identity::Fingerprint;
use crate::units::{ByteLen, ByteOffset};
use crate::vectored::write_all_at;
use crate::write_queue::{Request, named};

/// Block size that a plain file is said to have.
const FILE_BLOCK_BYTES: u32 = 512;

/// A block device, or a plain file used as one.
///
/// I/O goes through the page cache, but for what is long in a batch of writes: that goes past it, many
/// at a time, where the system lets it. [`sync`](BlockDevice::sync) is `fdatasync`. The size is
/// the one at the time of opening.
#[derive(Debug)]
pub struct FileDevice {
    path: PathBuf,
    file: File,
    direct: Mutex<Direct>,
    size: ByteLen,
    block_size: u32,
    fingerprint: Fingerprint,
}

/// Why a path can't be used as a disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    /// It can't be opened or asked for its size.
    #[error("{path}: {source}")]
    Io {
        /// The device.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither a block device nor a plain file.
    #[error("{path} is neither a block device nor a plain file")]
    Kind {
        /// What was to be a device.
        path: PathBuf,
    },
    /// It is mounted, part of another device, or open for writing by another AIM process.
    #[error("{path} is in use: mounted, part of another device, or held by another process")]
    Busy {
        /// The device.
        path: PathBuf,
    },
    /// Its size is zero or not a multiple of its block size.
    #[error("{path} has {size} bytes, which is not a number of blocks of {block_size} bytes")]
    Size {
        /// The device.
        path: PathBuf,
        /// Its size.
        size: ByteLen,
        /// Its block size in bytes.
        block_size: u32,
    },
    /// Its block size is not supported.
    #[error(
        "{path} has blocks of {block_size} bytes; powers of two from 512 to 4096 are supported"
    )]
    BlockSize {
        /// The device.
        path: PathBuf,
        /// Its block size in bytes.
        block_size: u32,
    },
}

impl FileDevice {
    /// Opens a disk for reading and writing, for this process alone: a block device is claimed
    /// as a mount claims it, a plain file is locked. Both end with the last use of the device.
    pub fn open_exclusive(path: impl Into<PathBuf>) -> Result<Self, OpenDeviceError> {
        Self::open(path.into(), true)
    }

    /// Opens a disk for reading only, whoever else uses it; changing methods fail.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, OpenDeviceError> {
        Self::open(path.into(), false)
    }

    fn open(path: PathBuf, exclusive: bool) -> Result<Self, OpenDeviceError> {
        let io_error = |source| OpenDeviceError::Io {
            path: path.clone(),
            source,
        };
        let kind = std::fs::metadata(&path).map_err(io_error)?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(OpenDeviceError::Kind { path });
        }
        let claim = match exclusive && kind.is_block_device() {
            true => OFlags::EXCL,
            false => OFlags::empty(),
        };
        let opened = OpenOptions::new()
            .read(true)
            .write(exclusive)
            .custom_flags(claim.bits().cast_signed())
            .open(&path);
        let file = match opened {
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                return Err(OpenDeviceError::Busy { path });
            }
            opened => opened.map_err(io_error)?,
        };
        // a lock on a block device would collide with udev's; the claim above is exclusive
        if exclusive && kind.is_file() {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(OpenDeviceError::Busy { path }),
                locked => locked.map_err(|error| io_error(error.into()))?,
            }
        }
        let (size, block_size, fingerprint) = describe(&file).map_err(io_error)?;
        if !block_size.is_power_of_two() || !(512..=4096).contains(&block_size) {
            return Err(OpenDeviceError::BlockSize { path, block_size });
        }
        if size.get() == 0 || !size.get().is_multiple_of(block_size.into()) {
            return Err(OpenDeviceError::Size {
                path,
                size,
                block_size,
            });
        }
        Ok(Self {
            path,
            file,
            direct: Mutex::new(match exclusive {
                true => Direct::Untried,
                false => Direct::Refused,
            }),
            size,
            block_size,
            fingerprint,
        })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What makes the disk recognizable; unknown for plain files and nameless disks.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The open file, for front ends that issue their own I/O.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes through the page cache. Nothing goes past it meanwhile: both ways never meet in one page.
    fn write_cached(&self, chunk: Chunk<'_>) -> io::Result<()> {
        let at = chunk.offset();
        let mut slices = chunk.slices();
        if let (Some(only), None) = (slices.next(), slices.next()) {
            let written = self.file.write_all_at(only, at);
            return written.map_err(|error| named(at, error));
        }
        let slices: Vec<_> = chunk.slices().map(IoSlice::new).collect();
        write_all_at(&self.file, &slices, at).map_err(|(at, error)| named(at, error))
    }

    /// The same for what could not go past it, in this order.
    fn write_refused(&self, requests: &[Request<'static>]) -> io::Result<()> {
        requests.iter().try_for_each(|request| {
            let written = write_all_at(&self.file, request.rest(), request.offset());
            written.map_err(|(at, error)| named(at, error))
        })
    }

    fn direct(&self) -> MutexGuard<'_, Direct> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle_direct(&self, direct: &mut Direct) -> io::Result<()> {
        let left = direct.settle()?;
        self.write_refused(&left)
    }
}

/// Size, block size and fingerprint of an open disk.
fn describe(file: &File) -> io::Result<(ByteLen, u32, Fingerprint)> {
    let metadata = file.metadata()?;
    if metadata.file_type().is_file() {
        let size = ByteLen(metadata.len());
        return Ok((size, FILE_BLOCK_BYTES, Fingerprint::UNKNOWN));
    }
    // the length in the metadata of a block device is 0; its end can be sought
    let mut seekable = file;
    let size = ByteLen(seekable.seek(SeekFrom::End(0))?);
    let block_size = rustix::fs::ioctl_blksszget(file)?;
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    Ok((size, block_size, fingerprint::of_block_device(major, minor)))
}

impl BlockDevice for FileDevice {
    fn size(&self) -> ByteLen {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(buffer.len() as u64))?;
        self.file.read_exact_at(buffer, offset.get())
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(data.len() as u64))?;
        self.file.write_all_at(data, offset.get())
    }

    /// Goes once over the disk, and joins what lies side by side into one write. What is long is under way
    /// when this returns, unless there is something short as well.
    fn write_behind(&self, batch: WriteBatch) -> io::Result<()> {
        for (offset, len) in batch.ranges() {
            check_range(self, offset, len)?;
        }
        let mut direct = self.direct();
        let (long, short): (Vec<_>, Vec<_>) =
            Chunk::all(&batch).partition(|chunk| direct.takes(*chunk, &self.file, self.block_size));
        let left = direct.begin(long.iter().flat_map(Chunk::requests).collect())?;
        self.write_refused(&left)?;
        if short.is_empty() {
            return Ok(());
        }
        self.settle_direct(&mut direct)?;
        short
            .into_iter()
            .try_for_each(|chunk| self.write_cached(chunk))
    }

    fn settle(&self) -> io::Result<()> {
        self.settle_direct(&mut self.direct())
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        check_range(self, offset, len)?;
        zeroing::write_zeroes(&self.file, offset.get(), len.get(), unmap)
    }

    fn sync(&self) -> io::Result<()> {
        // whoever forgets to settle is not told that all is durable
        self.settle()?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::fs::{MemfdFlags, SealFlags};
    use zerocopy::{Immutable, IntoBytes};

    use super::*;
    use crate::write_queue::SharedBytes;

    /// Bytes that are worth to be written directly.
    const LONG: usize = 128 << 10;

    #[derive(Clone, IntoBytes, Immutable)]
    #[repr(C, align(4096))]
    struct Page([u8; 4096]);

    /// Memory that direct writes can be made from.
    struct Pages(Vec<Page>);

    impl AsRef<[u8]> for Pages {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    fn long_write(byte: u8, offset: usize) -> WriteBatch {
        let memory: SharedBytes = Arc::new(Pages(vec![Page([byte; 4096]); LONG / 4096]));
        WriteBatch::new(memory, [(ByteOffset(offset as u64), 0..LONG)])
    }

    /// A device of zeroes whose direct writes go to another file.
    fn device_with_direct(astray: impl FnOnce(&Path) -> File) -> (tempfile::TempDir, FileDevice) {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        std::fs::write(&image, vec![0; 3 * LONG]).unwrap();
        let mut device = FileDevice::open_exclusive(&image).unwrap();
        device.direct = Mutex::new(Direct::astray(astray(&image)));
        (temp, device)
    }

    fn content(device: &FileDevice) -> Vec<u8> {
        let mut bytes = vec![0; 3 * LONG];
        device.read(ByteOffset(0), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_direct_write_that_fails_is_told_and_later_ones_go_well() {
        let (_temp, device) = device_with_direct(|image| File::open(image).unwrap());
        let begun = device.write_behind(long_write(1, 0));
        let error = begun.and_then(|()| device.settle()).unwrap_err();
        assert!(error.to_string().contains("Bad file descriptor"), "{error}");
        device.write_behind(long_write(2, LONG)).unwrap();
        device.settle().unwrap();
        let bytes = content(&device);
        assert!(bytes == [[0; LONG], [2; LONG], [0; LONG]].concat());
    }

    #[test]
    fn direct_writes_that_are_refused_on_their_way_go_through_the_page_cache_in_order() {
        let (_temp, device) = device_with_direct(|_| {
            let sealed = rustix::fs::memfd_create("sealed", MemfdFlags::ALLOW_SEALING).unwrap();
            rustix::fs::fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
            sealed.into()
        });
        device.write_behind(long_write(1, LONG)).unwrap();
        device.write_behind(long_write(2, LONG / 2)).unwrap();
        device.settle().unwrap();
        device.write_behind(long_write(3, 2 * LONG)).unwrap();
        device.settle().unwrap();
        let halves = [0, 2, 2, 1, 3, 3].map(|byte| [byte; LONG / 2]);
        assert!(content(&device) == halves.concat());
    }

    #[test]
    fn what_is_no_disk_is_refused_by_name() {
        let temp = tempfile::tempdir().unwrap();
        let odd = temp.path().join("odd");
        std::fs::write(&odd, [0; 600]).unwrap();
        let opened = FileDevice::open_exclusive(&odd);
        assert!(matches!(
            opened,
            Err(OpenDeviceError::Size {
                size: ByteLen(600),
                ..
            })
        ));
        let opened = FileDevice::open_exclusive(temp.path());
        assert!(matches!(opened, Err(OpenDeviceError::Kind { .. })));
        let opened = FileDevice::open_exclusive(temp.path().join("missing"));
        assert!(matches!(opened, Err(OpenDeviceError::Io { .. })));
        let opened = FileDevice::open_exclusive("/dev/null");
        assert!(matches!(opened, Err(OpenDeviceError::Kind { .. })));
    }

    #[test]
    fn a_file_has_one_owner_until_it_is_closed() {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        std::fs::write(&image, [7; 4096]).unwrap();
        let owner = FileDevice::open_exclusive(&image).unwrap();
        let second = FileDevice::open_exclusive(&image);
        assert!(matches!(second, Err(OpenDeviceError::Busy { .. })));
        let reader = FileDevice::open_read_only(&image).unwrap();
        assert!(reader.write(ByteOffset(0), &[0; 512]).is_err());
        drop(owner);
        FileDevice::open_exclusive(&image).unwrap();
    }
}

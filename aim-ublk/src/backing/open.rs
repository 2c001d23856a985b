//! Opens a backing disk for exclusive, direct use.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aim_core::units::ByteLen;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::backing::limits::Limits;
use crate::error::{Error, Result};

/// How long between two tries to get a disk that is in use.
const RETRY: Duration = Duration::from_millis(20);

/// A block device or an image file, open for direct I/O and for nobody else.
///
/// The claim (an exclusive open, or a lock on an image file) lasts until the last reference to
/// the open file is gone, requests in flight included: a successor that got the disk can be sure
/// that no write of a killed predecessor lands on it any more.
#[derive(Debug)]
pub struct Backing {
    file: File,
    path: PathBuf,
    kind: Kind,
    size: ByteLen,
    limits: Limits,
}

/// What a backing disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block device, with its numbers.
    BlockDevice {
        /// Major device number.
        major: u32,
        /// Minor device number.
        minor: u32,
    },
    /// A regular file.
    ImageFile,
}

impl Backing {
    /// Opens `path`, or says at once that somebody else has it.
    ///
    /// # Errors
    ///
    /// [`Error::BackingBusy`] if it is mounted, claimed or locked, [`Error::NotADisk`],
    /// [`Error::TooSmall`], or [`Error::Io`] where it does not exist or takes no direct I/O.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_within(path, Duration::ZERO)
    }

    /// As [`open`](Self::open), but gives a holder `patience` to let go: the kernel may still be
    /// finishing the I/O of a process that was killed.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_within(path: impl AsRef<Path>, patience: Duration) -> Result<Self> {
        let path = path.as_ref();
        let deadline = Instant::now() + patience;
        loop {
            match Self::try_open(path) {
                Err(Error::BackingBusy { .. }) if Instant::now() < deadline => thread::sleep(RETRY),
                outcome => return outcome,
            }
        }
    }

    fn try_open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::io("inspect", path, e))?;
        let kind = if metadata.file_type().is_block_device() {
            Kind::BlockDevice {
                major: rustix::fs::major(metadata.rdev()),
                minor: rustix::fs::minor(metadata.rdev()),
            }
        } else if metadata.is_file() {
            Kind::ImageFile
        } else {
            return Err(Error::NotADisk {
                path: path.to_owned(),
            });
        };
        let mut file = claim(path, kind)?;
        let limits = match kind {
            Kind::BlockDevice { major, minor } => Limits::of_block_device(major, minor)?,
            Kind::ImageFile => {
                let block = u32::try_from(metadata.blksize()).unwrap_or(4096);
                Limits::of_image_file(direct_alignment(&file, path)?, block)
            }
        };
        let bytes = file
            .seek(SeekFrom::End(0))
            .map_err(|e| Error::io("find the size of", path, e))?;
        let size = bytes - bytes % u64::from(limits.logical_block);
        if size == 0 {
            return Err(Error::TooSmall {
                path: path.to_owned(),
                size: bytes,
                block: limits.logical_block,
            });
        }
        if size != bytes {
            tracing::warn!(path = %path.display(), bytes, size, "the tail of the disk is unused");
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            kind,
            size: ByteLen(size),
            limits,
        })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Block device or file.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Usable bytes: whole logical blocks.
    pub fn size(&self) -> ByteLen {
        self.size
    }

    /// Block sizes and queue limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The open file. Its I/O must be aligned to the logical block.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl AsRawFd for Backing {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn claim(path: &Path, kind: Kind) -> Result<File> {
    let busy = || Error::BackingBusy {
        path: path.to_owned(),
    };
    let mut flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    if let Kind::BlockDevice { .. } = kind {
        flags |= OFlags::EXCL;
    }
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::BUSY) => return Err(busy()),
        Err(Errno::INVAL) => return Err(Error::io("open for direct I/O", path, Errno::INVAL)),
        Err(errno) => return Err(Error::io("open", path, errno)),
    };
    if kind == Kind::ImageFile {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(busy()),
            Err(errno) => return Err(Error::io("lock", path, errno)),
        }
    }
    Ok(file)
}

/// Alignment of offset and memory that direct I/O on this file needs, or 0 if the file system
/// does not say.
fn direct_alignment(file: &File, path: &Path) -> Result<u32> {
    // SAFETY: an all-zero statx is a valid value of this plain C structure.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, the path is a terminated empty string, and `found` is
    // writable and of the size that the kernel fills.
    let code = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &raw mut found,
        )
    };
    if code != 0 {
        let source = std::io::Error::last_os_error();
        return Err(Error::io("inspect", path, source));
    }
    if found.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Ok(0);
    }
    Ok(found.stx_dio_offset_align.max(found.stx_dio_mem_align))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_file_is_locked_and_released() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        File::create(&path).unwrap().set_len(10_000).unwrap();
        let first = Backing::open(&path).unwrap();
        assert_eq!(first.kind(), Kind::ImageFile);
        assert_eq!(
            first.size().get() % u64::from(first.limits().logical_block),
            0
        );
        assert!(first.size().get() <= 10_000);
        assert!(matches!(
            Backing::open(&path),
            Err(Error::BackingBusy { .. })
        ));
        drop(first);
        Backing::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            Backing::open(directory.path()),
            Err(Error::NotADisk { .. })
        ));
        let empty = directory.path().join("empty");
        File::create(&empty).unwrap();
        assert!(matches!(
            Backing::open(&empty),
            Err(Error::TooSmall { size: 0, .. })
        ));
        assert!(matches!(
            Backing::open(directory.path().join("absent")),
            Err(Error::Io { .. })
        ));
    }
}

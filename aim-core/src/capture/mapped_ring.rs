//! The memory of a staging ring, a mapped file or anonymous, and its first page, which tells whose
//! ring it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::fs::reserve;
use crate::intercept::Memory;
use crate::units::VolumeId;

/// Unit of placement in the ring; the first one is its header.
pub(super) const PAGE: usize = 4096;
const MAGIC: [u8; 8] = *b"AIMRING2";
/// Bytes of the header that tell whose ring it is.
const OWNER_BYTES: usize = 64;
/// Where the kernel tells which boot of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A mapped ring.
#[derive(Debug)]
pub(super) struct MappedRing {
    start: NonNull<u8>,
    len: usize,
}

/// Whose ring it is.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) volume: VolumeId,
    /// What places in it depend on.
    pub(super) sizes: [usize; 3],
}

// SAFETY: the mapping lives until `drop`. What this gives out are its address, which whoever looks
// behind has to prove for, and an atomic.
unsafe impl Send for MappedRing {}
// SAFETY: as for Send.
unsafe impl Sync for MappedRing {}

impl MappedRing {
    /// Maps the file at `path`, which gets `len` bytes and keeps what it holds if it has so many, or
    /// anonymous memory.
    pub(super) fn open(path: Option<&Path>, len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let anywhere = std::ptr::null_mut();
        let start = match path {
            None => {
                let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
                // SAFETY: a new mapping at an address of the kernel's choice touches no other.
                unsafe { rustix::mm::mmap_anonymous(anywhere, len, protection, flags)? }
            }
            Some(path) => {
                let file = file_of(path, len as u64)?;
                // SAFETY: as above; the file has `len` bytes.
                unsafe { rustix::mm::mmap(anywhere, len, protection, MapFlags::SHARED, &file, 0)? }
            }
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Says whether the ring is the owner's, and of this boot; makes it so if not, with zeroes up to
    /// `table_end`. Before anyone else has it.
    ///
    /// A file system on a disk may bring back an old state of the ring after a power cut, so a
    /// ring counts only in the boot in which it was made.
    pub(super) fn adopt(&self, owner: &Owner, table_end: usize) -> bool {
        assert!(table_end <= self.len, "{table_end} of {} bytes", self.len);
        let header = owner.header();
        let start = self.start.as_ptr();
        // SAFETY: the first page is mapped, and its owner bytes are used by nothing but this
        // function, before the ring is handed out.
        let place = unsafe { std::slice::from_raw_parts_mut(start, header.len()) };
        if place == header {
            return true;
        }
        // SAFETY: the ring is mapped up to there, and not handed out to anyone yet.
        unsafe { start.write_bytes(0, table_end) };
        // until a start has noted what has to be copied, the next one must not think that this
        // ring tells it
        self.is_tracking().store(1, Ordering::SeqCst);
        place.copy_from_slice(&header);
        false
    }

    /// A word that outlives the process, as all of the ring; see
    /// [`Staging::is_tracking`](super::staging::Staging::is_tracking).
    pub(super) fn is_tracking(&self) -> &AtomicU32 {
        // SAFETY: the word lies in the first page behind the owner bytes, aligned to 64, is used
        // by nothing else, and is mapped as long as `self`.
        unsafe { self.start.add(OWNER_BYTES).cast::<AtomicU32>().as_ref() }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// All of it. It keeps its pages: nobody cuts the file while it is mapped.
    pub(super) fn memory(&self) -> Memory {
        Memory {
            address: self.start,
            len: self.len,
        }
    }
}

impl Drop for MappedRing {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` with this length; who holds what lies in it holds
        // the interceptor, and with it this.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "unmapping the staging ring");
        }
    }
}

impl Owner {
    fn header(&self) -> [u8; OWNER_BYTES] {
        let mut header = [0; OWNER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..24].copy_from_slice(&self.volume.0);
        header[24..40].copy_from_slice(&boot_id());
        for (place, number) in header[40..].chunks_exact_mut(8).zip(self.sizes) {
            place.copy_from_slice(&(number as u64).to_le_bytes());
        }
        header
    }
}

/// The ring file, `len` bytes long.
///
/// The file system gives it all of its memory now. What lacks later ends the process with a signal,
/// or a request with an error; mapping alone tells nobody, and with `mlockall` on fault it asks for
/// nothing.
fn file_of(path: &Path, len: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path)?;
    if file.metadata()?.len() != len {
        file.set_len(0)?;
        file.set_len(len)?;
    }
    reserve(&file, len)?;
    Ok(file)
}

/// The identity of this boot; zeroes where the kernel does not tell it.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let id = uuid::Uuid::try_parse(text.trim()).unwrap_or_default();
    *id.as_bytes()
}

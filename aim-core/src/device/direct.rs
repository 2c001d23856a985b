//! Past the page cache, where that is faster: long writes, many at a time.
//!
//! Short ones are better off in the cache, which gathers them until the disk is synced and joins what
//! has come to lie side by side: `docs/decisions.md` has the figures.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::depth::{Request, unnamed, write_all};
use super::ring::Ring;

/// What is shorter goes through the page cache.
const LONG_BYTES: usize = 64 << 10;

/// Longest request.
const REQUEST_BYTES: usize = 1 << 20;

/// Most slices in one request (`IOV_MAX` of Linux).
const SLICES_MAX: usize = 1024;

/// Bytes for one place of a disk, that lie in several places of memory.
#[derive(Clone, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) offset: u64,
    pub(super) slices: Vec<&'a [u8]>,
}

impl Chunk<'_> {
    /// Whether it may be worth while to write it directly.
    pub(super) fn is_long(&self) -> bool {
        self.slices.iter().map(|slice| slice.len()).sum::<usize>() >= LONG_BYTES
    }
}

/// The way past the page cache of a file.
#[derive(Debug)]
pub(super) enum Direct {
    /// Nothing long was written yet.
    Untried,
    Open(Box<DirectFile>),
    /// There is none.
    Refused,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Way {
    Written,
    /// It has to go through the page cache. A part of it may have been written.
    Cached,
}

#[derive(Debug)]
pub(super) struct DirectFile {
    ring: Ring,
    /// Offsets and lengths are multiples of this,
    offset_align: u64,
    /// and addresses of this.
    memory_align: usize,
}

impl Direct {
    /// Finds the way, if nobody has looked for it yet. Where there is none this is said once.
    pub(super) fn look(&mut self, file: &File, block_size: u32) {
        if matches!(self, Self::Untried) {
            match DirectFile::open(file, block_size) {
                Ok(direct) => *self = Self::Open(Box::new(direct)),
                Err(error) => self.refuse(&error),
            }
        }
    }

    /// Whether it is open, and takes these bytes.
    pub(super) fn takes(&self, chunk: &Chunk<'_>) -> bool {
        let Self::Open(direct) = self else {
            return false;
        };
        chunk.is_long()
            && chunk.offset.is_multiple_of(direct.offset_align)
            && chunk.slices.iter().all(|slice| {
                slice.as_ptr().addr().is_multiple_of(direct.memory_align)
                    && (slice.len() as u64).is_multiple_of(direct.offset_align)
            })
    }

    /// Writes what it [takes](Self::takes). None is under way any more when this returns.
    pub(super) fn write(&mut self, chunks: &[Chunk<'_>]) -> io::Result<Way> {
        let Self::Open(direct) = self else {
            return Ok(Way::Cached);
        };
        let mut requests: Vec<Request<'_>> = chunks.iter().flat_map(requests).collect();
        match write_all(&mut direct.ring, &mut requests) {
            Ok(()) => Ok(Way::Written),
            // some file systems and devices say so only now
            Err(error) if is_refusal(unnamed(&error)) => {
                self.refuse(&error);
                Ok(Way::Cached)
            }
            Err(error) => Err(error),
        }
    }

    fn refuse(&mut self, error: &io::Error) {
        tracing::info!(%error, "long writes go through the page cache: no direct I/O with io_uring");
        *self = Self::Refused;
    }
}

impl DirectFile {
    fn open(file: &File, block_size: u32) -> io::Result<Self> {
        let known = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
        let is_known = StatxFlags::from_bits_retain(known.stx_mask).contains(StatxFlags::DIOALIGN);
        let (offset_align, memory_align) = match is_known {
            true => (known.stx_dio_offset_align, known.stx_dio_mem_align),
            // as much as any asks for
            false => (4096, 4096),
        };
        if offset_align == 0 || memory_align == 0 {
            return Err(Errno::OPNOTSUPP.into());
        }
        // the very file that is open, whatever its name stands for now
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path)?;
        Ok(Self {
            ring: Ring::new(direct)?,
            offset_align: offset_align.max(block_size).into(),
            memory_align: memory_align as usize,
        })
    }
}

fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM];
    let errno = error.raw_os_error();
    refusals
        .iter()
        .any(|refusal| errno == Some(refusal.raw_os_error()))
}

/// Cuts a chunk into requests.
fn requests<'a>(chunk: &Chunk<'a>) -> Vec<Request<'a>> {
    let mut requests = Vec::new();
    let (mut offset, mut len) = (chunk.offset, 0);
    let mut gathered = Vec::new();
    let pieces = chunk
        .slices
        .iter()
        .flat_map(|slice| slice.chunks(REQUEST_BYTES));
    for piece in pieces {
        if len + piece.len() > REQUEST_BYTES || gathered.len() == SLICES_MAX {
            requests.push(Request::new(offset, std::mem::take(&mut gathered)));
            offset += len as u64;
            len = 0;
        }
        gathered.push(IoSlice::new(piece));
        len += piece.len();
    }
    if !gathered.is_empty() {
        requests.push(Request::new(offset, gathered));
    }
    requests
}

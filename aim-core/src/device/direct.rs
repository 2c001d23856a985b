//! Past the page cache, where that is faster: long writes, many at a time.
//!
//! Short ones are better off in the cache, which gathers them until the disk is synced and joins what
//! has come to lie side by side: `docs/decisions.md` has the figures.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::depth::{Request, unnamed, write_all};
use super::ring::Ring;
use crate::alignment::Alignment;
use crate::vectored::SLICES_MAX;

/// What is shorter goes through the page cache.
const LONG_BYTES: usize = 64 << 10;

/// Longest request.
const REQUEST_BYTES: usize = 1 << 20;

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
    alignment: Alignment,
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
            && direct
                .alignment
                .takes(chunk.slices.iter().copied(), chunk.offset)
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
        let alignment = Alignment::of(file).ok_or(Errno::OPNOTSUPP)?;
        // the very file that is open, whatever its name stands for now
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path)?;
        Ok(Self {
            ring: Ring::new(direct)?,
            alignment: alignment.in_blocks(block_size),
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

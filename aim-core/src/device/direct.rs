//! Past the page cache, where that is faster: long writes, many at a time.
//!
//! Short ones are better off in the cache, which gathers them until the disk is synced and joins what
//! has come to lie side by side: `docs/decisions.md` has the figures.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::write_batch::{Piece, WriteBatch};
use crate::alignment::Alignment;
use crate::vectored::SLICES_MAX;
use crate::write_queue::{Failure, Request, Ring, RingFile, SharedBytes, UnderWay};

/// What is shorter goes through the page cache.
const LONG_BYTES: usize = 64 << 10;

/// Writes that are under way at most. Each has up to a MiB: enough for any disk.
const DEPTH: u32 = 32;

/// Longest request.
const REQUEST_BYTES: usize = 1 << 20;

/// Pieces of a batch that lie side by side on the disk.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pieces: &'a [Piece],
    memory: &'a SharedBytes,
}

impl<'a> Chunk<'a> {
    /// All of a batch, ascending.
    pub(super) fn all(batch: &'a WriteBatch) -> impl Iterator<Item = Self> {
        let memory = batch.memory();
        let chunks = batch.side_by_side();
        chunks.map(move |pieces| Self { pieces, memory })
    }

    pub(super) fn offset(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.offset)
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = (**self.memory).as_ref();
        let pieces = self.pieces.iter();
        pieces.map(move |piece| &bytes[piece.place.clone()])
    }

    /// Whether it may be worth while to write it directly.
    fn is_long(&self) -> bool {
        let lens = self.pieces.iter().map(|piece| piece.place.len());
        lens.sum::<usize>() >= LONG_BYTES
    }

    /// It, cut into requests.
    pub(super) fn requests(&self) -> Vec<Request<'static>> {
        let mut requests = Vec::new();
        let (mut offset, mut len) = (self.offset(), 0);
        let mut gathered = Vec::new();
        let places = self.pieces.iter().map(|piece| &piece.place);
        for piece in places.flat_map(pieces) {
            if len + piece.len() > REQUEST_BYTES || gathered.len() == SLICES_MAX {
                let places = std::mem::take(&mut gathered);
                requests.push(Request::of(self.memory, offset, places));
                offset += len as u64;
                len = 0;
            }
            len += piece.len();
            gathered.push(piece);
        }
        if !gathered.is_empty() {
            requests.push(Request::of(self.memory, offset, gathered));
        }
        requests
    }
}

/// A place of memory in pieces that are no longer than a request.
fn pieces(place: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = place.end;
    let starts = place.clone().step_by(REQUEST_BYTES);
    starts.map(move |start| start..end.min(start + REQUEST_BYTES))
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

#[derive(Debug)]
pub(super) struct DirectFile {
    under_way: UnderWay<'static, RingFile<Ring, File>>,
    alignment: Alignment,
}

impl Direct {
    /// Whether it takes this. The way is looked for when something long comes first; where there is none
    /// this is said once.
    pub(super) fn takes(&mut self, chunk: Chunk<'_>, file: &File, block_size: u32) -> bool {
        if !chunk.is_long() {
            return false;
        }
        if matches!(self, Self::Untried) {
            match DirectFile::open(file, block_size) {
                Ok(direct) => *self = Self::Open(Box::new(direct)),
                Err(error) => self.refuse(&error),
            }
        }
        match self {
            Self::Open(direct) => direct.alignment.takes(chunk.slices(), chunk.offset()),
            _ => false,
        }
    }

    /// Begins the requests of a batch, of chunks that it [takes](Self::takes), as
    /// [`UnderWay::begin`] does. Gives what has to go through the page cache, in this order; then nothing is
    /// under way.
    pub(super) fn begin(
        &mut self,
        requests: Vec<Request<'static>>,
    ) -> io::Result<Vec<Request<'static>>> {
        let Self::Open(direct) = self else {
            return Ok(requests);
        };
        let begun = direct.under_way.begin(requests);
        self.left(begun)
    }

    /// Waits until nothing is under way. Gives what has to go through the page cache.
    pub(super) fn settle(&mut self) -> io::Result<Vec<Request<'static>>> {
        let Self::Open(direct) = self else {
            return Ok(Vec::new());
        };
        let settled = direct.under_way.settle();
        self.left(settled)
    }

    fn left(&mut self, done: Result<(), Failure<'static>>) -> io::Result<Vec<Request<'static>>> {
        match done {
            Ok(()) => Ok(Vec::new()),
            // some file systems and devices say so only now
            Err(failure) if is_refusal(&failure.error) => {
                self.refuse(&failure.error);
                Ok(failure.left)
            }
            Err(failure) => {
                // a ring that has refused once would take nothing any more
                *self = Self::Untried;
                Err(failure.into())
            }
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
            under_way: UnderWay::new(Ring::new(DEPTH)?.only_to(direct)),
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

#[cfg(test)]
impl Direct {
    /// As if direct writes to the device went to this file, as long as it takes them.
    pub(super) fn astray(file: File) -> Self {
        let alignment = Alignment::of(&file).unwrap();
        let under_way = UnderWay::new(Ring::new(DEPTH).unwrap().only_to(file));
        Self::Open(Box::new(DirectFile {
            under_way,
            alignment,
        }))
    }
}

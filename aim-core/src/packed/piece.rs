//! One piece of a packed file.

use std::ops::Range;

use zstd::bulk::Decompressor;

use super::header::{PIECE_HEAD_BYTES, PieceHead};
use super::{PIECE_BYTES, UnpackError, frame};
use crate::fs::DirFile;

/// A piece whose header has been checked, and nothing else of it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    index: u64,
    head: PieceHead,
    /// Where its stored bytes are, inside of the file.
    stored: Range<u64>,
    raw_len: usize,
}

impl Piece {
    /// Reads the header of piece `index`, which stands at byte `at` of a packed file of `len` bytes;
    /// `left` bytes of the journal file are in it and in what follows.
    pub(super) fn find(
        file: &dyn DirFile,
        len: u64,
        at: u64,
        index: u64,
        left: u64,
    ) -> Result<Self, UnpackError> {
        let raw_len = left.min(PIECE_BYTES as u64) as usize;
        let start = at + PIECE_HEAD_BYTES as u64;
        require_within(len, start)?;
        let mut head = [0; PIECE_HEAD_BYTES];
        file.read_exact_at(&mut head, at)
            .map_err(UnpackError::reading(at))?;
        let head = PieceHead::parse(&head, at, frame::stored_max(raw_len))?;
        let stored = start..start + head.stored_bytes() as u64;
        require_within(len, stored.end)?;
        Ok(Self {
            index,
            head,
            stored,
            raw_len,
        })
    }

    /// Where the next one would stand.
    pub(super) fn end(&self) -> u64 {
        self.stored.end
    }

    /// Bytes of the journal file in it.
    pub(super) fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// Checks it, and leaves exactly what it holds in `raw`; `stored` is room to work in.
    pub(super) fn take(
        &self,
        file: &dyn DirFile,
        decompressor: &mut Decompressor<'_>,
        stored: &mut Vec<u8>,
        raw: &mut Vec<u8>,
    ) -> Result<(), UnpackError> {
        stored.resize(self.head.stored_bytes(), 0);
        file.read_exact_at(stored, self.stored.start)
            .map_err(UnpackError::reading(self.stored.start))?;
        self.head.check(self.index, stored)?;
        raw.resize(self.raw_len, 0);
        frame::take(decompressor, self.index, stored, raw)
    }
}

pub(super) fn require_within(len: u64, end: u64) -> Result<(), UnpackError> {
    match end <= len {
        true => Ok(()),
        false => Err(UnpackError::Length {
            found: len,
            expected: end,
        }),
    }
}

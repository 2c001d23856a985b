//! From a packed file to a journal file of unknown bytes.

use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::header::{HEAD_BYTES, Head, PIECE_HEAD_BYTES, PieceHead};
use super::{PIECE_BYTES, UnpackError, frame};
use crate::fs::DirFile;

/// Unpacks a file piece by piece, in memory for two pieces whatever it says.
pub struct Unpacker {
    file: Arc<dyn DirFile>,
    len: u64,
    raw_bytes: u64,
    /// Where the next piece's header stands.
    at: u64,
    /// What has come out.
    done: u64,
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    raw: Vec<u8>,
}

impl Unpacker {
    /// Reads what stands before the pieces.
    ///
    /// # Errors
    ///
    /// [`UnpackError`] if it is not exactly what a writer writes.
    pub fn open(file: Arc<dyn DirFile>) -> Result<Self, UnpackError> {
        let len = file.len().map_err(reading(0))?;
        let mut head = [0; HEAD_BYTES];
        require_within(len, HEAD_BYTES as u64)?;
        file.read_exact_at(&mut head, 0).map_err(reading(0))?;
        Ok(Self {
            raw_bytes: Head::parse(&head)?,
            file,
            len,
            at: HEAD_BYTES as u64,
            done: 0,
            decompressor: Decompressor::new().map_err(reading(0))?,
            stored: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// Bytes of the journal file; at most as many as one can have.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// The next piece of the journal file, or `None` when all of it, and nothing else, has been
    /// there.
    ///
    /// # Errors
    ///
    /// [`UnpackError`] for the first thing that is not right. What came before is right.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, UnpackError> {
        let left = self.raw_bytes - self.done;
        if left == 0 {
            return match self.at == self.len {
                true => Ok(None),
                false => Err(UnpackError::Length {
                    found: self.len,
                    expected: self.at,
                }),
            };
        }
        let index = self.done / PIECE_BYTES as u64;
        let raw_len = left.min(PIECE_BYTES as u64) as usize;
        let head_end = self.at + PIECE_HEAD_BYTES as u64;
        require_within(self.len, head_end)?;
        let mut head = [0; PIECE_HEAD_BYTES];
        let read = self.file.read_exact_at(&mut head, self.at);
        read.map_err(reading(self.at))?;
        let head = PieceHead::parse(&head, self.at, frame::stored_max(raw_len))?;
        let end = head_end + head.stored_bytes() as u64;
        require_within(self.len, end)?;
        self.stored.resize(head.stored_bytes(), 0);
        let read = self.file.read_exact_at(&mut self.stored, head_end);
        read.map_err(reading(head_end))?;
        head.check(index, &self.stored)?;
        self.raw.resize(raw_len, 0);
        frame::take(&mut self.decompressor, index, &self.stored, &mut self.raw)?;
        self.at = end;
        self.done += raw_len as u64;
        Ok(Some(&self.raw))
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, raw) = (self.done, self.raw_bytes);
        write!(f, "Unpacker({:?}, {done} of {raw})", self.file)
    }
}

fn require_within(len: u64, end: u64) -> Result<(), UnpackError> {
    match end <= len {
        true => Ok(()),
        false => Err(UnpackError::Length {
            found: len,
            expected: end,
        }),
    }
}

fn reading(at: u64) -> impl FnOnce(std::io::Error) -> UnpackError {
    move |source| UnpackError::Io { at, source }
}

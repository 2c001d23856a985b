//! From a packed file to a journal file of unknown bytes.

use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::header::{HEAD_BYTES, Head};
use super::piece::{Piece, require_within};
use super::{PIECE_BYTES, UnpackError};
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
        let (len, raw_bytes) = read_head(&*file)?;
        Ok(Self {
            raw_bytes,
            file,
            len,
            at: HEAD_BYTES as u64,
            done: 0,
            decompressor: Decompressor::new().map_err(UnpackError::reading(0))?,
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
            return require_end(self.len, self.at).map(|()| None);
        }
        let index = self.done / PIECE_BYTES as u64;
        let piece = Piece::find(&*self.file, self.len, self.at, index, left)?;
        piece.take(
            &*self.file,
            &mut self.decompressor,
            &mut self.stored,
            &mut self.raw,
        )?;
        self.at = piece.end();
        self.done += piece.raw_len() as u64;
        Ok(Some(&self.raw))
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, raw) = (self.done, self.raw_bytes);
        write!(f, "Unpacker({:?}, {done} of {raw})", self.file)
    }
}

/// Length of a packed file, and that of the journal file in it.
pub(super) fn read_head(file: &dyn DirFile) -> Result<(u64, u64), UnpackError> {
    let len = file.len().map_err(UnpackError::reading(0))?;
    let mut head = [0; HEAD_BYTES];
    require_within(len, HEAD_BYTES as u64)?;
    file.read_exact_at(&mut head, 0)
        .map_err(UnpackError::reading(0))?;
    Ok((len, Head::parse(&head)?))
}

/// Nothing follows the last piece.
pub(super) fn require_end(len: u64, end: u64) -> Result<(), UnpackError> {
    match len == end {
        true => Ok(()),
        false => Err(UnpackError::Length {
            found: len,
            expected: end,
        }),
    }
}

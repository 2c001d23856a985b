//! From a journal file to a packed one.

use std::io;
use std::sync::Arc;

use zerocopy::IntoBytes;
use zstd::bulk::Compressor;

use super::header::{Head, PIECE_HEAD_BYTES, PieceHead};
use super::{PIECE_BYTES, frame};
use crate::format::limits::{HEADER_BYTES, MAX_FILE_BYTES};
use crate::fs::DirFile;

/// How much work is spent on compressing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// The fastest.
    pub const MIN: Self = Self(1);
    /// The highest that is worth its time for anything.
    pub const MAX: Self = Self(19);

    /// A level of zstd, 1 to 19.
    pub fn new(level: u8) -> Option<Self> {
        let level = Self(level);
        (Self::MIN..=Self::MAX).contains(&level).then_some(level)
    }

    /// Its number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Packs a file piece by piece. The same bytes at the same level give the same packed bytes, as
/// long as zstd is of the same version.
pub struct Packer {
    file: Arc<dyn DirFile>,
    len: u64,
    next: u64,
    is_begun: bool,
    compressor: Compressor<'static>,
    raw: Vec<u8>,
}

impl Packer {
    /// Packs a file that does not change any more.
    ///
    /// # Errors
    ///
    /// If its length can't be asked, is not that of a journal file, or there is no memory.
    pub fn new(file: Arc<dyn DirFile>, level: Level) -> io::Result<Self> {
        let len = file.len()?;
        if len < HEADER_BYTES as u64 || len > MAX_FILE_BYTES {
            let text = format!("a file of {len} bytes is no journal file");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self {
            file,
            len,
            next: 0,
            is_begun: false,
            compressor: Compressor::new(level.get().into())?,
            raw: Vec::new(),
        })
    }

    /// Most bytes that a packed file of one of `len` bytes has.
    pub fn len_max(len: u64) -> u64 {
        let pieces = len.div_ceil(PIECE_BYTES as u64);
        let piece = PIECE_HEAD_BYTES + frame::stored_max(PIECE_BYTES) - PIECE_BYTES;
        size_of::<Head>() as u64 + pieces * piece as u64 + len
    }

    /// The next bytes of the packed file, or `None` at its end.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn next_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.is_begun {
            self.is_begun = true;
            return Ok(Some(Head::new(self.len).as_bytes().to_vec()));
        }
        let left = self.len - self.next;
        if left == 0 {
            return Ok(None);
        }
        let index = self.next / PIECE_BYTES as u64;
        self.raw.resize(left.min(PIECE_BYTES as u64) as usize, 0);
        self.file.read_exact_at(&mut self.raw, self.next)?;
        let mut out = vec![0; PIECE_HEAD_BYTES];
        frame::put(&mut self.compressor, &self.raw, &mut out)?;
        let (head, stored) = out.split_at_mut(PIECE_HEAD_BYTES);
        head.copy_from_slice(PieceHead::new(index, stored).as_bytes());
        self.next += self.raw.len() as u64;
        Ok(Some(out))
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (next, len) = (self.next, self.len);
        write!(f, "Packer({:?}, {next} of {len})", self.file)
    }
}

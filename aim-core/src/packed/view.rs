//! A packed file read at any place, as the journal file that is in it.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use zstd::bulk::Decompressor;

use super::header::HEAD_BYTES;
use super::piece::Piece;
use super::unpack::{read_head, require_end};
use super::{PIECE_BYTES, UnpackError};
use crate::fs::DirFile;

/// The journal file in a packed one, for reading. It takes memory for two pieces, and 48 bytes for
/// each of at most 1024; whoever reads on in order has each piece unpacked once.
///
/// Nothing more is believed than of any file: a piece is checked when it is read. What is wrong with
/// it is an error of the kind `InvalidData` that holds the [`UnpackError`].
pub struct PackedView {
    file: Arc<dyn DirFile>,
    raw_bytes: u64,
    pieces: Vec<Piece>,
    last: Mutex<Last>,
}

/// The piece that was read last.
struct Last {
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// Which one `raw` holds.
    index: Option<usize>,
}

impl PackedView {
    /// Finds the pieces of a packed file that does not change any more.
    ///
    /// # Errors
    ///
    /// [`UnpackError`] if it is not what a writer writes, as far as that shows without unpacking.
    pub fn open(file: Arc<dyn DirFile>) -> Result<Self, UnpackError> {
        let (len, raw_bytes) = read_head(&*file)?;
        let mut pieces = Vec::new();
        let (mut at, mut done) = (HEAD_BYTES as u64, 0);
        while done < raw_bytes {
            let index = pieces.len() as u64;
            let piece = Piece::find(&*file, len, at, index, raw_bytes - done)?;
            at = piece.end();
            done += piece.raw_len() as u64;
            pieces.push(piece);
        }
        require_end(len, at)?;
        let last = Last {
            decompressor: Decompressor::new().map_err(UnpackError::reading(0))?,
            stored: Vec::new(),
            raw: Vec::new(),
            index: None,
        };
        Ok(Self {
            file,
            raw_bytes,
            pieces,
            last: Mutex::new(last),
        })
    }
}

impl Last {
    fn load(&mut self, file: &dyn DirFile, pieces: &[Piece], index: usize) -> io::Result<()> {
        if self.index == Some(index) {
            return Ok(());
        }
        self.index = None;
        let piece = pieces.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        piece.take(
            file,
            &mut self.decompressor,
            &mut self.stored,
            &mut self.raw,
        )?;
        self.index = Some(index);
        Ok(())
    }
}

impl DirFile for PackedView {
    fn len(&self) -> io::Result<u64> {
        Ok(self.raw_bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let index = usize::try_from(at / PIECE_BYTES as u64).map_err(io::Error::other)?;
            last.load(&*self.file, &self.pieces, index)?;
            let within = (at % PIECE_BYTES as u64) as usize;
            let there = last.raw.get(within..).unwrap_or_default();
            let len = there.len().min(rest.len());
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&there[..len]);
            (at, rest) = (at + len as u64, later);
        }
        Ok(())
    }

    fn write_all_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl fmt::Debug for PackedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedView({:?})", self.file)
    }
}

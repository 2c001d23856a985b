//! Where the bytes of a journal file are read: in the file, or in memory that holds all of it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::file_memory::FileMemory;
use super::read_error::ReadError;
use crate::format::Payload;
use crate::format::checksum::{PayloadHasher, payload_checksum};
use crate::fs::DirFile;

/// The bytes of a journal file.
#[derive(Debug)]
pub(super) enum Content {
    File(Arc<dyn DirFile>),
    Memory(Arc<FileMemory>),
}

impl Content {
    /// Takes a file of `len` bytes into `memory` where it fits, and lets go of the file. From then
    /// on nobody can alter what is read.
    pub(super) fn into_memory(self, len: u64, mut memory: FileMemory) -> Result<Self, ReadError> {
        match (self, usize::try_from(len)) {
            (Self::File(file), Ok(size)) if len <= FileMemory::BYTES_MAX => {
                memory.fill(&*file, size)?;
                Ok(Self::Memory(Arc::new(memory)))
            }
            (content, _) => Ok(content),
        }
    }

    pub(super) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> Result<(), ReadError> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, at).map_err(ReadError::at(at)),
            Self::Memory(memory) => {
                buffer.copy_from_slice(slice((**memory).as_ref(), at, buffer.len() as u64)?);
                Ok(())
            }
        }
    }

    /// The checksum that a payload has.
    pub(super) fn hash_payload(&self, payload: &Payload) -> Result<u64, ReadError> {
        let (at, len) = (payload.place, payload.stored_size.into());
        match self {
            Self::File(file) => hash_payload(&**file, payload),
            Self::Memory(memory) => Ok(payload_checksum(slice((**memory).as_ref(), at, len)?)),
        }
    }

    /// Checks that the bytes at these places are zero.
    pub(super) fn check_zero(&self, places: Range<u64>) -> Result<(), ReadError> {
        match self {
            Self::File(file) => check_zero(&**file, places),
            Self::Memory(memory) => {
                let len = places.end.saturating_sub(places.start);
                require_zero(places.start, slice((**memory).as_ref(), places.start, len)?)
            }
        }
    }
}

fn slice(bytes: &[u8], at: u64, len: u64) -> Result<&[u8], ReadError> {
    let range = usize::try_from(at).ok().zip(usize::try_from(len).ok());
    let found = range.and_then(|(at, len)| bytes.get(at..at.checked_add(len)?));
    found.ok_or_else(|| ReadError::at(at)(io::ErrorKind::UnexpectedEof.into()))
}

pub(super) fn hash_payload(file: &dyn DirFile, payload: &Payload) -> Result<u64, ReadError> {
    let mut hasher = PayloadHasher::default();
    let size = payload.stored_size.into();
    pieces(file, payload.place, size, |_, piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Checks that the bytes of a file at these places are zero.
pub(super) fn check_zero(file: &dyn DirFile, places: Range<u64>) -> Result<(), ReadError> {
    let len = places.end.saturating_sub(places.start);
    pieces(file, places.start, len, require_zero)
}

fn require_zero(at: u64, piece: &[u8]) -> Result<(), ReadError> {
    match piece.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(index) => Err(ReadError::Padding {
            at: at + index as u64,
        }),
    }
}

/// Reads `len` bytes from `start` piece by piece; `each` is given the place of a piece and it.
fn pieces(
    file: &dyn DirFile,
    start: u64,
    len: u64,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut buffer = vec![0; len.min(PIECE_BYTES) as usize];
    let mut done = 0;
    while done < len {
        let piece = &mut buffer[..(len - done).min(PIECE_BYTES) as usize];
        let at = start + done;
        file.read_exact_at(piece, at).map_err(ReadError::at(at))?;
        each(at, piece)?;
        done += piece.len() as u64;
    }
    Ok(())
}

/// How much is read at once where the size is not known to be small.
const PIECE_BYTES: u64 = 1 << 20;

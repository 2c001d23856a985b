//! What can be wrong with a packed file.

use std::io;

use crate::format::limits::{HEADER_BYTES, MAX_FILE_BYTES};

/// Why a packed file can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The file system failed.
    #[error("reading at byte {at} failed: {source}")]
    Io {
        /// First byte of the read.
        at: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// It does not begin like one.
    #[error("it does not begin like a packed journal file")]
    Magic,
    /// A field has another value than the one that it can have.
    #[error("{field} is {found:#x}, expected {expected:#x}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The value that should be there.
        expected: u64,
    },
    /// A reserved byte is not zero.
    #[error("a reserved byte from {at} on is not zero")]
    NotZero {
        /// First of the reserved bytes.
        at: u64,
    },
    /// No journal file has so many bytes.
    #[error(
        "raw_bytes is {found}, expected {} to {}",
        HEADER_BYTES,
        MAX_FILE_BYTES
    )]
    RawBytes {
        /// Bytes of the file that was packed, as its header says.
        found: u64,
    },
    /// A piece has more bytes than a writer ever stores.
    #[error("the piece at byte {at} has {found} stored bytes, at most {most} are expected")]
    Stored {
        /// Where its header stands.
        at: u64,
        /// As its header says.
        found: u32,
        /// The most that there can be.
        most: usize,
    },
    /// It ends too early, or goes on too long.
    #[error("it has {found} bytes, and its pieces reach to {expected}")]
    Length {
        /// Length of the file.
        found: u64,
        /// Where the pieces, as far as they are known, end.
        expected: u64,
    },
    /// The stored bytes of a piece are not those that were written.
    #[error("piece {piece} has checksum {found:016x}, not {expected:016x}")]
    Checksum {
        /// Its place among the pieces, from 0.
        piece: u64,
        /// Of the bytes that are there.
        found: u64,
        /// As its header says.
        expected: u64,
    },
    /// The stored bytes of a piece are not one frame of zstd that holds it.
    #[error("piece {piece} can't be decompressed: {reason}")]
    Frame {
        /// Its place among the pieces, from 0.
        piece: u64,
        /// What is wrong.
        reason: String,
    },
}

impl UnpackError {
    /// Whether the bytes are wrong, as against a file system that can't give them.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    pub(super) fn reading(at: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { at, source }
    }
}

/// What the file system said, as it is; wrong bytes are `InvalidData` that holds the error.
impl From<UnpackError> for io::Error {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Io { source, .. } => source,
            damage => Self::new(io::ErrorKind::InvalidData, damage),
        }
    }
}

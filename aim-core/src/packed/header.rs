//! What stands before the whole, and before each piece.

use crate::xxh3::{xxh3_64, xxh3_64_with_seed};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{MAGIC, PIECE_BYTES, UnpackError, VERSION};
use crate::format::limits::{HEADER_BYTES, MAX_FILE_BYTES};

/// A frame that zstd skips begins with this, and the number of the bytes that follow.
const SKIPPED: u32 = 0x184d_2a50;

/// The first bytes of a packed file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Head {
    skipped: U32,
    skipped_len: U32,
    magic: [u8; 8],
    version: U32,
    piece_bytes: U32,
    raw_bytes: U64,
    reserved: [u8; 16],
    /// XXH3-64 of the bytes before.
    checksum: U64,
}

pub(super) const HEAD_BYTES: usize = size_of::<Head>();

/// What stands before each piece.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PieceHead {
    skipped: U32,
    skipped_len: U32,
    stored_bytes: U32,
    reserved: [u8; 4],
    /// XXH3-64 of the stored bytes, seeded with the place of the piece among all.
    checksum: U64,
}

pub(super) const PIECE_HEAD_BYTES: usize = size_of::<PieceHead>();

/// Bytes of a frame that zstd skips, besides its first 8.
const fn skipped_len(bytes: usize) -> u32 {
    (bytes - 8) as u32
}

impl Head {
    pub(super) fn new(raw_bytes: u64) -> Self {
        let mut head = Self {
            skipped: U32::new(SKIPPED),
            skipped_len: U32::new(skipped_len(HEAD_BYTES)),
            magic: MAGIC,
            version: U32::new(VERSION),
            piece_bytes: U32::new(PIECE_BYTES as u32),
            raw_bytes: U64::new(raw_bytes),
            reserved: [0; 16],
            checksum: U64::new(0),
        };
        head.checksum = U64::new(head.own_checksum());
        head
    }

    /// Checks everything in it; gives the length of the file that was packed.
    pub(super) fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<u64, UnpackError> {
        let head = zerocopy::transmute!(*bytes);
        let Self { magic, version, .. } = head;
        require("skipped frame", head.skipped.get().into(), SKIPPED.into())?;
        if magic != MAGIC {
            return Err(UnpackError::Magic);
        }
        require("version", version.get().into(), VERSION.into())?;
        require("checksum", head.checksum.get(), head.own_checksum())?;
        let len = head.skipped_len.get().into();
        require("length of the header", len, skipped_len(HEAD_BYTES).into())?;
        let piece = head.piece_bytes.get().into();
        require("piece_bytes", piece, PIECE_BYTES as u64)?;
        if head.reserved != [0; 16] {
            return Err(UnpackError::NotZero { at: 32 });
        }
        let raw = head.raw_bytes.get();
        match raw < HEADER_BYTES as u64 || raw > MAX_FILE_BYTES {
            true => Err(UnpackError::RawBytes { found: raw }),
            false => Ok(raw),
        }
    }

    fn own_checksum(&self) -> u64 {
        xxh3_64(&self.as_bytes()[..HEAD_BYTES - 8])
    }
}

impl PieceHead {
    pub(super) fn new(index: u64, stored: &[u8]) -> Self {
        Self {
            skipped: U32::new(SKIPPED),
            skipped_len: U32::new(skipped_len(PIECE_HEAD_BYTES)),
            // a piece is far below 4 GiB
            stored_bytes: U32::new(stored.len() as u32),
            reserved: [0; 4],
            checksum: U64::new(xxh3_64_with_seed(stored, index)),
        }
    }

    /// Checks what can be checked without the piece, which stands at byte `at` and may have
    /// `most` bytes.
    pub(super) fn parse(
        bytes: &[u8; PIECE_HEAD_BYTES],
        at: u64,
        most: usize,
    ) -> Result<Self, UnpackError> {
        let head: Self = zerocopy::transmute!(*bytes);
        require("skipped frame", head.skipped.get().into(), SKIPPED.into())?;
        let len = head.skipped_len.get().into();
        let expected = skipped_len(PIECE_HEAD_BYTES).into();
        require("length of a piece's header", len, expected)?;
        if head.reserved != [0; 4] {
            return Err(UnpackError::NotZero { at: at + 12 });
        }
        let found = head.stored_bytes.get();
        match found as usize > most {
            true => Err(UnpackError::Stored { at, found, most }),
            false => Ok(head),
        }
    }

    pub(super) fn stored_bytes(&self) -> usize {
        self.stored_bytes.get() as usize
    }

    /// Checks that it belongs to this piece.
    pub(super) fn check(&self, index: u64, stored: &[u8]) -> Result<(), UnpackError> {
        let (found, expected) = (xxh3_64_with_seed(stored, index), self.checksum.get());
        match found == expected {
            true => Ok(()),
            false => Err(UnpackError::Checksum {
                piece: index,
                found,
                expected,
            }),
        }
    }
}

fn require(field: &'static str, found: u64, expected: u64) -> Result<(), UnpackError> {
    match found == expected {
        true => Ok(()),
        false => Err(UnpackError::Field {
            field,
            found,
            expected,
        }),
    }
}

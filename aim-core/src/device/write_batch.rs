//! Writes that are handed to a disk together, with the memory that they lie in.

use std::fmt;
use std::ops::Range;

use crate::units::{ByteLen, ByteOffset};
use crate::write_queue::SharedBytes;

/// Writes that may go in any order: none overlaps another.
#[derive(Clone)]
pub struct WriteBatch {
    memory: SharedBytes,
    /// Ascending.
    pieces: Vec<Piece>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) offset: u64,
    /// Its bytes in the memory.
    pub(super) place: Range<usize>,
}

impl WriteBatch {
    /// Writes of these ranges of `memory`, each with where its first byte goes. Lengths are multiples of
    /// the disk's block size.
    ///
    /// # Panics
    ///
    /// If a range is not in the memory, or two overlap on the disk.
    pub fn new(
        memory: SharedBytes,
        writes: impl IntoIterator<Item = (ByteOffset, Range<usize>)>,
    ) -> Self {
        let len = (*memory).as_ref().len();
        let pieces = writes.into_iter().map(|(offset, place)| {
            assert!(
                place.start <= place.end && place.end <= len,
                "{place:?} is not in {len} bytes of memory"
            );
            let offset = offset.get();
            Piece { offset, place }
        });
        let mut pieces: Vec<Piece> = pieces.filter(|piece| !piece.place.is_empty()).collect();
        pieces.sort_unstable_by_key(|piece| piece.offset);
        for pair in pieces.windows(2) {
            assert!(
                pair[0].end() <= pair[1].offset,
                "writes of a batch overlap: {pair:?}"
            );
        }
        Self { memory, pieces }
    }

    /// What goes where, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (ByteOffset, &[u8])> {
        let bytes = (*self.memory).as_ref();
        let runs = self.pieces.iter();
        runs.map(|piece| (ByteOffset(piece.offset), &bytes[piece.place.clone()]))
    }

    /// The ranges of the disk, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (ByteOffset, ByteLen)> {
        let pieces = self.pieces.iter();
        pieces.map(|piece| (ByteOffset(piece.offset), ByteLen(piece.place.len() as u64)))
    }

    pub(super) fn memory(&self) -> &SharedBytes {
        &self.memory
    }

    /// What lies side by side on the disk, together.
    pub(super) fn side_by_side(&self) -> impl Iterator<Item = &[Piece]> {
        self.pieces
            .chunk_by(|left, right| left.end() == right.offset)
    }
}

impl Piece {
    /// The offset behind it; at most 2^64 - 1 by saturation, which is no place of a disk.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.place.len() as u64)
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBatch")
            .field("pieces", &self.pieces)
            .finish_non_exhaustive()
    }
}

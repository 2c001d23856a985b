//! Memory in which landings lie, and the pieces in which the kernel can hold it.

use std::ptr::NonNull;

/// Memory in which landings lie.
///
/// It is mapped as long as its interceptor lives, and keeps its pages: who holds these and who
/// looks at the addresses see the same bytes.
///
/// A ring whose kernel side holds it need not find its pages for each I/O. It is held in
/// [`pieces`](Self::pieces), and an I/O names the one [that has it all](Self::piece_of).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The first byte, at the start of a page.
    pub address: NonNull<u8>,
    /// Bytes from there.
    pub len: usize,
}

// SAFETY: an address and a number. Nothing here looks at the bytes; whoever does brings a proof of
// its own.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Bytes of each piece but the last, which may be shorter: what the kernel takes as one
    /// buffer, at most.
    pub const PIECE_BYTES: usize = 1 << 30;

    /// Address and length of each piece, one behind the other.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = (*mut u8, usize)> + use<> {
        let Self { address, len } = *self;
        (0..len).step_by(Self::PIECE_BYTES).map(move |offset| {
            let start = address.as_ptr().wrapping_add(offset);
            (start, Self::PIECE_BYTES.min(len - offset))
        })
    }

    /// Which of the [`pieces`](Self::pieces), counted from 0, has all of `len` bytes at `address`,
    /// of which there is at least one. None where no single piece has them.
    #[inline]
    pub fn piece_of(&self, address: usize, len: usize) -> Option<usize> {
        let offset = address.checked_sub(self.address.addr().get())?;
        let end = offset + len;
        let piece = offset / Self::PIECE_BYTES;
        (end <= self.len && end <= (piece + 1) * Self::PIECE_BYTES).then_some(piece)
    }
}

/// Whoever has such memory.
///
/// # Safety
///
/// As long as the value lives [`memory`](Self::memory) gives the same, and that is mapped and keeps
/// its pages.
pub unsafe trait Steady: std::fmt::Debug + Send + Sync {
    /// The memory.
    fn memory(&self) -> Memory;
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = Memory::PIECE_BYTES;
    const PAGE: usize = 4096;

    fn memory(start: usize, len: usize) -> Memory {
        let address = NonNull::new(std::ptr::without_provenance_mut(start)).unwrap();
        Memory { address, len }
    }

    #[test]
    fn pieces_lie_one_behind_the_other_and_have_it_all() {
        let pieces = |len| -> Vec<_> {
            let pieces = memory(PAGE, len).pieces();
            pieces.map(|(start, len)| (start.addr(), len)).collect()
        };
        assert_eq!(pieces(PAGE), [(PAGE, PAGE)]);
        assert_eq!(pieces(PIECE), [(PAGE, PIECE)]);
        assert_eq!(
            pieces(2 * PIECE + PAGE),
            [
                (PAGE, PIECE),
                (PAGE + PIECE, PIECE),
                (PAGE + 2 * PIECE, PAGE)
            ]
        );
        assert_eq!(pieces(0), []);
        assert_eq!(memory(PAGE, PIECE + 1).pieces().len(), 2);
    }

    #[test]
    fn only_what_lies_in_one_piece_is_in_a_piece() {
        let start = 16 * PAGE;
        let memory = memory(start, PIECE + 2 * PAGE);
        let piece = |offset: usize, len| memory.piece_of(start + offset, len);
        assert_eq!(piece(0, PAGE), Some(0));
        assert_eq!(piece(0, PIECE), Some(0));
        assert_eq!(piece(0, PIECE + 1), None);
        assert_eq!(piece(PIECE - PAGE, PAGE), Some(0));
        assert_eq!(piece(PIECE - PAGE, 2 * PAGE), None);
        assert_eq!(piece(PIECE, 2 * PAGE), Some(1));
        assert_eq!(piece(PIECE + PAGE, PAGE), Some(1));
        assert_eq!(piece(PIECE + PAGE, 2 * PAGE), None);
        assert_eq!(piece(PIECE + PAGE, PAGE + 1), None);
        assert_eq!(piece(PIECE + 2 * PAGE, PAGE), None);
        assert_eq!(memory.piece_of(start - 1, PAGE), None);
        assert_eq!(memory.piece_of(start / 2, PAGE), None);
    }

    #[test]
    fn each_piece_is_found_as_the_one_that_has_its_bytes() {
        let memory = memory(PAGE, 3 * PIECE - PAGE);
        for (number, (start, len)) in memory.pieces().enumerate() {
            let start = start.addr();
            assert_eq!(memory.piece_of(start, len), Some(number));
            assert_eq!(memory.piece_of(start + len - 1, 1), Some(number));
            assert_eq!(memory.piece_of(start - 1, len), None);
            assert_eq!(memory.piece_of(start, len + 1), None);
        }
    }
}

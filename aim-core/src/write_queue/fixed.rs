//! Memory that the ring's kernel side knows beforehand.

use std::io::{self, IoSlice};

use io_uring::{IoUring, Probe, opcode};

use crate::intercept::{Memory, Steady};

/// The kernel takes pieces of up to 1 GiB.
const PIECE: usize = 1 << 30;

/// Memory whose pages the kernel holds, so that it need not find and hold them for each write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    start: usize,
    /// 0: there is none.
    len: usize,
}

/// A `struct iovec`: a pointer, and a size of as many bits.
#[repr(C)]
struct Vector {
    start: *mut u8,
    len: usize,
}

impl Fixed {
    /// Has the kernel hold the memory for `ring`. Where it does not, or has no vectored writes from
    /// what it holds (before Linux 6.15), writes go the plain way.
    pub(super) fn register(ring: &IoUring, memory: &dyn Steady) -> Self {
        let Memory { address, len } = memory.memory();
        let pieces: Vec<Vector> = (0..len)
            .step_by(PIECE)
            .map(|offset| Vector {
                start: address.as_ptr().wrapping_add(offset),
                len: PIECE.min(len - offset),
            })
            .collect();
        let registered = require_vectored(ring).and_then(|()| {
            // SAFETY: a `Vector` is an `iovec`; the slice ends before `pieces` does.
            let pieces =
                unsafe { std::slice::from_raw_parts(pieces.as_ptr().cast(), pieces.len()) };
            // SAFETY: `Steady` promises that the memory is mapped now; the kernel holds its pages from
            // here on, whatever is mapped there later.
            unsafe { ring.submitter().register_buffers(pieces) }
        });
        match registered {
            Ok(()) => Self {
                start: address.as_ptr().addr(),
                len,
            },
            Err(error) => {
                tracing::info!(%error, len, "the kernel does not hold the staging memory for the journal");
                Self::default()
            }
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        self.len > 0
    }

    /// The place in the ring's table of what holds all of the slices.
    pub(super) fn index_of(&self, slices: &[IoSlice<'_>]) -> Option<u16> {
        if self.len == 0 {
            return None;
        }
        let (mut low, mut high) = (usize::MAX, 0);
        for slice in slices {
            let start = slice.as_ptr().addr();
            low = low.min(start);
            high = high.max(start + slice.len());
        }
        let offset = low.checked_sub(self.start)?;
        let end = high.checked_sub(self.start)?;
        let piece = offset / PIECE;
        // no memory has more than 2^16 pieces
        (end <= self.len && end <= (piece + 1) * PIECE).then_some(piece as u16)
    }
}

fn require_vectored(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    match probe.is_supported(opcode::WritevFixed::CODE) {
        true => Ok(()),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_one_piece_has_a_place() {
        let memory = vec![0; 3 * 4096];
        let fixed = |before: usize, len: usize| Fixed {
            start: memory.as_ptr().addr() - before,
            len,
        };
        let slices = [IoSlice::new(&memory[8192..]), IoSlice::new(&memory[..4096])];
        let index = |fixed: Fixed| fixed.index_of(&slices);
        assert_eq!(index(fixed(0, 3 * 4096)), Some(0));
        assert_eq!(index(fixed(0, 3 * 4096 - 1)), None);
        assert_eq!(index(fixed(4096, 4 * 4096)), Some(0));
        assert_eq!(index(fixed(PIECE, 2 * PIECE)), Some(1));
        assert_eq!(index(fixed(PIECE - 3 * 4096, 2 * PIECE)), Some(0));
        assert_eq!(index(fixed(PIECE - 4096, 2 * PIECE)), None);
        let behind = Fixed {
            start: memory.as_ptr().addr() + 1,
            len: PIECE,
        };
        assert_eq!(index(behind), None);
        assert_eq!(index(Fixed::default()), None);
    }
}

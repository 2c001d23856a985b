//! Memory that the ring's kernel side knows beforehand.

use std::io::{self, IoSlice};

use io_uring::{IoUring, Probe, opcode};

use crate::intercept::{Memory, Steady};

/// Memory whose pages the kernel holds, so that it need not find and hold them for each write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    memory: Option<Memory>,
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
        let memory = memory.memory();
        let pieces: Vec<Vector> = memory
            .pieces()
            .map(|(start, len)| Vector { start, len })
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
                memory: Some(memory),
            },
            Err(error) => {
                tracing::info!(%error, len = memory.len, "the kernel does not hold the staging memory for the journal");
                Self::default()
            }
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        self.memory.is_some()
    }

    /// The place in the ring's table of what holds all of the slices.
    pub(super) fn index_of(&self, slices: &[IoSlice<'_>]) -> Option<u16> {
        let memory = self.memory?;
        let (mut low, mut high) = (usize::MAX, 0);
        for slice in slices {
            let start = slice.as_ptr().addr();
            low = low.min(start);
            high = high.max(start + slice.len());
        }
        let piece = memory.piece_of(low, high.checked_sub(low)?)?;
        // the kernel takes no more than 2^14 pieces
        Some(piece as u16)
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
    use std::ptr::NonNull;

    use super::*;

    const PIECE: usize = Memory::PIECE_BYTES;

    #[test]
    fn only_slices_that_all_lie_in_one_piece_have_a_place() {
        let bytes = vec![0; 3 * 4096];
        let at = |start: *const u8, len| {
            let address = NonNull::new(start.cast_mut()).unwrap();
            Fixed {
                memory: Some(Memory { address, len }),
            }
        };
        let fixed = |before, len| at(bytes.as_ptr().wrapping_sub(before), len);
        let slices = [IoSlice::new(&bytes[8192..]), IoSlice::new(&bytes[..4096])];
        let index = |fixed: Fixed| fixed.index_of(&slices);
        assert_eq!(index(fixed(0, 3 * 4096)), Some(0));
        assert_eq!(index(fixed(0, 3 * 4096 - 1)), None);
        assert_eq!(index(fixed(4096, 4 * 4096)), Some(0));
        assert_eq!(index(fixed(PIECE, 2 * PIECE)), Some(1));
        assert_eq!(index(fixed(PIECE - 3 * 4096, 2 * PIECE)), Some(0));
        assert_eq!(index(fixed(PIECE - 4096, 2 * PIECE)), None);
        assert_eq!(index(at(bytes.as_ptr().wrapping_add(1), PIECE)), None);
        assert_eq!(index(Fixed::default()), None);
    }
}

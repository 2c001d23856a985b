//! Memory that the ring knows beforehand.

use std::ptr::NonNull;

use aim_core::intercept::Memory;
use libublk::io::with_task_io_ring_mut;

/// The interceptor's memory, as far as it is registered with this thread's ring: the kernel need
/// not find and hold its pages for each I/O.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    start: usize,
    len: usize,
    /// Place of the first piece in the ring's table of buffers.
    first: u16,
}

/// The kernel takes pieces of up to 1 GiB.
const PIECE: usize = 1 << 30;

impl Fixed {
    /// Registers `memory`, if there is any, with this thread's ring, behind the first `requests`
    /// places of its table, which are those of requests. Where the kernel refuses, nothing is registered, and I/O goes the plain way.
    ///
    /// # Safety
    ///
    /// The memory must be mapped now; [`Memory`] tells what else is promised of it.
    pub(super) unsafe fn register(memory: Option<Memory>, requests: u16) -> Self {
        let Some(memory) = memory else {
            return Self::default();
        };
        let (start, len) = (memory.address.as_ptr(), memory.len);
        let pieces: Vec<libc::iovec> = (0..len)
            .step_by(PIECE)
            .map(|offset| libc::iovec {
                iov_base: start.wrapping_add(offset).cast(),
                iov_len: PIECE.min(len - offset),
            })
            .collect();
        let registered = with_task_io_ring_mut(|ring| {
            let ring = ring.submitter();
            if requests == 0 {
                // SAFETY: mapped, as the caller promises; the kernel holds the pages from here on.
                return unsafe { ring.register_buffers(&pieces) };
            }
            // the library has made a table for the requests alone
            ring.unregister_buffers()?;
            ring.register_buffers_sparse(u32::from(requests) + pieces.len() as u32)?;
            // SAFETY: as above.
            unsafe { ring.register_buffers_update(requests.into(), &pieces, None) }
        });
        match registered {
            Ok(()) => Self {
                start: start as usize,
                len,
                first: requests,
            },
            Err(error) => {
                tracing::info!(%error, len, "the kernel does not hold the staging memory");
                Self::default()
            }
        }
    }

    /// The place in the ring's table of what holds all of `len` bytes at `address`.
    pub(super) fn index_of(&self, address: NonNull<u8>, len: u32) -> Option<u16> {
        let offset = (address.as_ptr() as usize).checked_sub(self.start)?;
        let end = offset + len as usize;
        let piece = offset / PIECE;
        // no memory has more than 2^16 pieces
        (end <= self.len && end <= (piece + 1) * PIECE).then_some(self.first + piece as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_one_piece_has_a_place() {
        let fixed = Fixed {
            start: 0x1_0000,
            len: PIECE + 8192,
            first: 64,
        };
        let at = |offset: usize| NonNull::new((0x1_0000 + offset) as *mut u8).unwrap();
        assert_eq!(fixed.index_of(at(0), 4096), Some(64));
        assert_eq!(fixed.index_of(at(PIECE - 4096), 4096), Some(64));
        assert_eq!(fixed.index_of(at(PIECE - 4096), 8192), None);
        assert_eq!(fixed.index_of(at(PIECE), 8192), Some(65));
        assert_eq!(fixed.index_of(at(PIECE + 4096), 8192), None);
        let before = NonNull::new(0x8000 as *mut u8).unwrap();
        assert_eq!(fixed.index_of(before, 4096), None);
        assert_eq!(Fixed::default().index_of(before, 4096), None);
    }
}

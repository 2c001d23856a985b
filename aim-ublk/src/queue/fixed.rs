//! Memory that the ring knows beforehand.

use std::ptr::NonNull;

use aim_core::intercept::Memory;
use libublk::io::with_task_io_ring_mut;

/// The interceptor's memory, as far as it is registered with this thread's ring: the kernel need
/// not find and hold its pages for each I/O.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    memory: Option<Memory>,
    /// Place of the first piece in the ring's table of buffers.
    first: u16,
}

impl Fixed {
    /// Registers `memory`, if there is any, with this thread's ring, behind the first `requests`
    /// places of its table, which are those of requests. Where the kernel refuses, nothing is
    /// registered, and I/O goes the plain way.
    ///
    /// # Safety
    ///
    /// The memory must be mapped now; [`Memory`] tells what else is promised of it.
    pub(super) unsafe fn register(memory: Option<Memory>, requests: u16) -> Self {
        let Some(memory) = memory else {
            return Self::default();
        };
        let pieces: Vec<libc::iovec> = memory
            .pieces()
            .map(|(start, len)| libc::iovec {
                iov_base: start.cast(),
                iov_len: len,
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
                memory: Some(memory),
                first: requests,
            },
            Err(error) => {
                tracing::info!(%error, len = memory.len, "the kernel does not hold the staging memory");
                Self::default()
            }
        }
    }

    /// The place in the ring's table of what holds all of `len` bytes at `address`.
    pub(super) fn index_of(&self, address: NonNull<u8>, len: u32) -> Option<u16> {
        let piece = self.memory?.piece_of(address.addr().get(), len as usize)?;
        // the kernel takes no more than 2^14 pieces
        Some(self.first + piece as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_their_places_behind_those_of_requests() {
        let at = |address| NonNull::new(std::ptr::without_provenance_mut(address)).unwrap();
        let (start, piece) = (0x1_0000, Memory::PIECE_BYTES);
        let memory = Memory {
            address: at(start),
            len: piece + 8192,
        };
        let fixed = Fixed {
            memory: Some(memory),
            first: 64,
        };
        assert_eq!(fixed.index_of(at(start), 4096), Some(64));
        assert_eq!(fixed.index_of(at(start + piece - 4096), 4096), Some(64));
        assert_eq!(fixed.index_of(at(start + piece - 4096), 8192), None);
        assert_eq!(fixed.index_of(at(start + piece), 8192), Some(65));
        assert_eq!(fixed.index_of(at(start + piece + 4096), 8192), None);
        assert_eq!(fixed.index_of(at(0x8000), 4096), None);
        assert_eq!(Fixed::default().index_of(at(0x8000), 4096), None);
    }
}

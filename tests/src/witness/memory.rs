//! The memory that a witness hands out.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use aim_core::intercept::{self, Landing};

/// Slots of equal size, each aligned to a page.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    slot: usize,
}

// SAFETY: the bytes of a slot are only reached through the one landing for it, or, once its
// payload is frozen, by the drain; the state's lock passes a slot from one to the other.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn new(slots: usize, slot: usize) -> Self {
        let slot = slot.next_multiple_of(4096);
        let layout = Layout::from_size_align(slots * slot, 4096).expect("a size of memory");
        assert!(layout.size() > 0);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self {
            start,
            layout,
            slot,
        }
    }

    /// All of it.
    pub(super) fn whole(&self) -> intercept::Memory {
        intercept::Memory {
            address: self.start,
            len: self.layout.size(),
        }
    }

    /// The landing that covers a free slot.
    pub(super) fn landing(&self, slot: usize) -> Landing {
        // SAFETY: slots lie inside the allocation; it lives as long as the witness, which the
        // front end keeps; the state gives a slot to one caller at a time.
        unsafe { Landing::new(self.start.add(slot * self.slot), self.slot, slot as u64) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

//! Memory that direct I/O takes.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A zeroed buffer that starts at a page.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its memory as a `Box` does.
unsafe impl Send for Buffer {}

impl Buffer {
    const ALIGNMENT: usize = 4096;

    /// # Panics
    ///
    /// If `len` is 0 or rounds up past the address space: a device's request size is neither.
    pub(crate) fn zeroed(len: usize) -> Self {
        assert!(len > 0, "an empty buffer");
        let layout = Layout::from_size_align(len, Self::ALIGNMENT)
            .unwrap_or_else(|_| panic!("a buffer of {len} bytes"));
        // SAFETY: the layout is not empty, as asserted.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }

    pub(crate) fn address(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: allocated and zeroed with this size, and owned by `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: allocated and zeroed with this size, and owned by `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

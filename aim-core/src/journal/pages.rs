//! Memory in whole pages, as direct writes take it.

use std::ops::{Deref, DerefMut};

use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::format::limits::PAGE_BYTES;

/// A page that starts at a multiple of its size.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

static ZEROES: Page = Page([0; PAGE_BYTES]);

/// A page of zeroes.
pub(super) fn zero_page() -> &'static [u8] {
    ZEROES.as_bytes()
}

/// Bytes that start at a page.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    len: usize,
}

impl Pages {
    /// So many bytes, all zero.
    pub(super) fn zeroed(len: usize) -> Self {
        let count = len.div_ceil(PAGE_BYTES);
        let pages = (0..count).map(|_| Page::new_zeroed()).collect();
        Self { pages, len }
    }

    /// These bytes.
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut pages = Self::zeroed(bytes.len());
        pages.copy_from_slice(bytes);
        pages
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages.as_slice().as_bytes()[..self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages.as_mut_slice().as_mut_bytes()[..self.len]
    }
}

//! A write on its way, which may end short.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::slice;
use std::sync::Arc;

/// Bytes that a disk shares with whoever has handed them to it, until it has written them.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes for one place of a file.
pub(crate) struct Request<'a> {
    offset: u64,
    slices: Cow<'a, [IoSlice<'a>]>,
    /// Slices before it are written.
    first: usize,
    /// What the slices are of, where nobody lends it.
    _memory: Option<SharedBytes>,
}

/// What is to be done with a request that has come back.
pub(super) enum Next {
    Nothing,
    Again,
    Fail(io::Error),
}

impl Request<'static> {
    /// These ranges of `memory`, one after the other.
    pub(crate) fn of(memory: &SharedBytes, offset: u64, places: Vec<Range<usize>>) -> Self {
        let bytes: &[u8] = (**memory).as_ref();
        // SAFETY: what is borrowed from the content of an `Arc` lasts until that is changed or dropped,
        // which nobody can while the `Arc` of this request is there. Nobody gets at the slices but
        // by a borrow of the request.
        let bytes: &'static [u8] = unsafe { slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
        let slices = places.into_iter().map(|place| IoSlice::new(&bytes[place]));
        Self {
            offset,
            slices: slices.collect::<Vec<_>>().into(),
            first: 0,
            _memory: Some(memory.clone()),
        }
    }
}

impl<'a> Request<'a> {
    /// These bytes, one after the other.
    pub(crate) fn new(offset: u64, slices: impl Into<Cow<'a, [IoSlice<'a>]>>) -> Self {
        Self {
            offset,
            slices: slices.into(),
            first: 0,
            _memory: None,
        }
    }

    /// Where what is left begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is left to be written.
    pub(crate) fn rest(&self) -> &[IoSlice<'a>] {
        &self.slices[self.first..]
    }

    /// Where that goes.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len() as u64)
    }

    fn len(&self) -> usize {
        self.rest().iter().map(|slice| slice.len()).sum()
    }

    /// Takes in what became of it.
    pub(super) fn after(&mut self, written: io::Result<usize>) -> Next {
        let written = match written {
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Next::Fail(error),
            Ok(0) => return Next::Fail(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
        };
        if written == self.len() {
            return Next::Nothing;
        }
        self.offset += written as u64;
        let mut rest = &mut self.slices.to_mut()[self.first..];
        let before = rest.len();
        IoSlice::advance_slices(&mut rest, written);
        self.first += before - rest.len();
        Next::Again
    }
}

/// Whether the same may go well at once.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy
    )
}

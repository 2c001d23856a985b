//! What is told of writes that failed.

use std::io;

use super::request::Request;

/// Why a write failed, and what is not written.
pub(crate) struct Failure<'a> {
    /// Of those that failed the lowest.
    pub(crate) offset: u64,
    pub(crate) error: io::Error,
    /// What failed or was not begun, earlier batches first.
    pub(crate) left: Vec<Request<'a>>,
}

impl From<Failure<'_>> for io::Error {
    fn from(failure: Failure<'_>) -> Self {
        named(failure.offset, failure.error)
    }
}

/// The same error, with the place where it happened.
pub(crate) fn named(offset: u64, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Named { offset, error })
}

#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {error}")]
struct Named {
    offset: u64,
    error: io::Error,
}

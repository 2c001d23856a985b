//! How a run fails.

use std::fmt;

/// What `docs/consistency.md` promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// Durable as the disk.
    P1,
    /// The mirror is always a past of the source.
    P2,
    /// Never silently different.
    P3,
    /// The local disk comes first.
    P4,
    /// Never the wrong disk.
    P5,
    /// Files are not trusted; nothing panics.
    P6,
}

/// A promise that was broken in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(promise: Promise, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { promise, what }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let promise = match self.promise {
            Promise::P1 => "P1, durable as the disk",
            Promise::P2 => "P2, the mirror is always a past of the source",
            Promise::P3 => "P3, never silently different",
            Promise::P4 => "P4, the local disk comes first",
            Promise::P5 => "P5, never the wrong disk",
            Promise::P6 => "P6, files are not trusted",
        };
        write!(f, "{promise}: {}", self.what)
    }
}

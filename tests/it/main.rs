//! Integration tests: one binary, one module per subject.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod devices;
mod replay;

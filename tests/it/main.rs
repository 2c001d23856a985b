//! Integration tests: one binary, one module per subject.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod any_files;
mod capture;
mod devices;
mod fuzz_seeds;
mod replay;
mod spool;
mod state_files;
mod walls;
mod whole_way;

//! Tests on real parts: a real ublk device, real file systems, the program `aim` itself.
//!
//! `cargo xtask test` runs them in guests. They share the disks, so they run one after another.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod environment;
mod machine;
mod refusals;
mod ublk;

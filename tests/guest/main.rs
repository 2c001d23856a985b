//! Tests on real parts: a real ublk device, real file systems, a real sshd, the program `aim`.
//!
//! `cargo xtask test` runs them in guests. They share the disks, so they run one after another.
//! A test of the whole way ends by [`pair::Pair::end`]: everything stopped, the disks the same byte
//! for byte, nothing left in the folders.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod daemon;
mod doctor;
mod environment;
mod filesystems;
mod flush_boundaries;
mod healing;
mod isolation;
mod load;
mod machine;
mod pair;
mod partitions;
mod ranges;
mod recovery;
mod refusals;
mod restarts;
mod sshd;
mod ublk;
mod work;

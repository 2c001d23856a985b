//! The journal-file format, the interception trait, capture and replay of AIM: mirroring by files.
//!
//! Everything that changes a disk becomes a record in a series of self-describing files; any
//! mover can carry the files; whoever holds an unbroken series can rebuild the disk as it was at
//! any moment of it. The format is specified in `docs/format.md`, what is promised in
//! `docs/consistency.md`.
//!
//! ```text
//! front end ── Interceptor ── capture ── journal file ── any mover ── replay ── BlockDevice
//! ```
//!
//! The library has no runtime and no network: it can be embedded without any daemon.

mod alignment;
pub mod capture;
pub mod clock;
pub mod cursor;
pub mod device;
pub mod failpoint;
pub mod format;
pub mod fs;
pub mod identity;
pub mod intercept;
pub mod journal;
pub mod latency;
pub mod packed;
pub mod replay;
pub mod request;
pub mod signature;
pub mod spool;
pub mod state_file;
pub mod units;
mod vectored;
mod write_queue;
mod xxh3;

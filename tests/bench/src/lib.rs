//! What `cargo xtask bench capture` and `bench disks` ask of a guest, and what it answers.
//!
//! ```text
//! xtask                                     bench-guest
//!   Plan, as JSON in its one argument  ──▶    per round and subject: set up, jobs, take away
//!   Sample, a line of JSON each        ◀──    fio
//! ```

mod plan;
mod sample;

pub use plan::{Job, Kind, Plan, RamDisks, Subject};
pub use sample::Sample;

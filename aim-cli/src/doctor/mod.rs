//! What is well on this host and on the way to the mirror hosts, and what helps where it is not.
//!
//! ```text
//! host (kernel, limits, clock, run_dir) ─┐
//! volume (disk, journal, target, line) ──┼── Finding ── what, verdict, remedy
//! mirror (disk, directory) ──────────────┘
//! ```
//!
//! Nothing is changed, but for a probe file on the target, which is removed again.

mod clock;
mod disk;
mod finding;
mod folder;
mod host;
mod kernel;
mod limits;
mod mirror;
mod probe;
mod target;
mod volume;

pub(crate) use finding::{Finding, Section, Verdict};
pub(crate) use host::examine as examine_host;
pub(crate) use mirror::{examine as examine_mirror, examine_target as examine_mirror_target};
pub(crate) use volume::{examine as examine_volume, examine_target};

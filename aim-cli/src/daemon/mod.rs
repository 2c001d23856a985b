//! The running program: volumes and mirrors side by side, and the socket that tells of them.

mod control;
mod isolation;
mod lock;
mod meter;
mod mirror;
mod reminder;
mod repair;
mod report;
mod request;
mod resync;
mod serve;
mod start;
mod volume;

pub(crate) use control::{Control, ask, order};
pub(crate) use isolation::isolate;
pub(crate) use lock::RunLock;
pub(crate) use report::{MirrorReport, Report, ResyncReport, State, VerifyReport, VolumeReport};
pub(crate) use request::{Different, Range, Request, SyncAsked, VerifyAsked};
pub(crate) use serve::Service;

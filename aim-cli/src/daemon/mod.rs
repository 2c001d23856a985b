//! The running program: volumes and mirrors side by side, and the socket that tells of them.

mod control;
mod isolation;
mod lock;
mod meter;
mod mirror;
mod report;
mod serve;
mod start;
mod volume;

pub(crate) use control::{Control, ask};
pub(crate) use isolation::isolate;
pub(crate) use lock::RunLock;
pub(crate) use mirror::difference_message;
pub(crate) use report::{MirrorReport, Report, State, VolumeReport};
pub(crate) use serve::Service;

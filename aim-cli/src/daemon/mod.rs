//! The running program: volumes and mirrors side by side, and the socket that tells of them.

mod control;
mod isolation;
mod lock;
mod meter;
mod report;

pub(crate) use control::{Control, ask};
pub(crate) use isolation::isolate;
pub(crate) use lock::RunLock;
pub(crate) use meter::Meter;
pub(crate) use report::{DaemonReport, MirrorReport, Report, State, VolumeReport};

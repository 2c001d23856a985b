//! The running program: volumes and mirrors side by side, and the socket that tells of them.

mod control;
mod device_report;
mod handover;
mod isolation;
mod lock;
mod meter;
mod mirror;
pub(crate) mod notify;
mod orphans;
mod program;
mod reminder;
mod repair;
mod report;
mod request;
mod resync;
mod serve;
pub(crate) mod signals;
mod start;
mod targets;
mod volume;

pub(crate) use control::{Answers, Control, ask, hand_over, order};
pub(crate) use device_report::{DeviceReport, LatencyReport};
pub(crate) use handover::Handover;
pub(crate) use isolation::isolate;
pub(crate) use lock::RunLock;
pub(crate) use mirror::difference_message;
pub(crate) use orphans::Orphans;
pub(crate) use program::Program;
#[cfg(test)]
pub(crate) use report::DaemonReport;
pub(crate) use report::{
    BaselineReport, FetchReport, MirrorReport, Report, ResyncReport, State, TargetReport,
    TargetStanding, VerifyReport, VolumeReport,
};
pub(crate) use request::{Different, Range, Request, SyncAsked, VerifyAsked};
pub(crate) use serve::Service;
pub(crate) use signals::EndAsked;

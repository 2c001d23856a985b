//! A block device of user space (ublk) in front of a disk or an image file, whose requests pass
//! through an [`Interceptor`](aim_core::intercept::Interceptor).
//!
//! ```text
//! file system ── /dev/aim/NAME ── queue threads ── backing disk
//!                                      │
//!                                  Interceptor  (captures what changes the disk)
//! ```
//!
//! The kernel copies the payload of a write straight into the interceptor's memory: that copy is
//! the capture, and the disk is written from it. This crate knows nothing of journal files.
//!
//! [`UblkDevice::start`] makes a device live, [`Stopper`] ends it; [`Backing`] opens a disk for
//! exclusive use, [`kernel::features`] says what the running kernel's driver can do.
//!
//! # The end of the process
//!
//! A device outlives the process that serves it, however that ends, unless it was stopped. Its
//! users then wait, and get no error. The next [`UblkDevice::start`] with its name takes it over:
//! it has the same number and name, and requests that were in flight are given to the interceptor
//! again. So a killed server can be started anew, and a running one can execute a new version of
//! its program (`exec`), under load. On a kernel without that ability (before 6.0) the device ends
//! with its process.

mod backing;
mod buffer;
mod config;
mod control;
mod device;
mod driver;
mod error;
pub mod kernel;
mod latencies;
mod leftover;
mod link;
mod params;
mod queue;
mod start;
mod users;

pub use backing::{Backing, BackingReader, DiscardLimits, Kind, Limits};
pub use config::{DeviceConfig, ReadPath};
pub use device::{RunningDevice, Stopper, UblkDevice};
pub use error::{Error, Result};
pub use latencies::{Latencies, LatencyReader, RequestKind};
pub use leftover::Waiting;
pub use link::path_of;
pub use users::User;

//! Capture: every transaction of a volume gets its place in one order and goes into the journal.
//!
//! ```text
//! front end            staging ring (tmpfs)             journal directory
//!  landing  ◀───────── chunk ┐
//!  admit    ─ LSN ───▶ record│ in flight
//!  complete ─────────▶ record│ done ── drain thread ──▶ open/NAME.open ── seal ──▶ outgoing/NAME.aim
//!                            └ payload straight from the chunk, in large writes
//! ```
//!
//! [`Capture`] is the [`Interceptor`](crate::intercept::Interceptor) that does it;
//! [`MirroredDevice`] puts it in front of any [`BlockDevice`](crate::device::BlockDevice) for
//! those who embed the library.

mod config;
mod drain;
mod durability;
mod interception;
mod leftover;
mod mirrored;
mod note;
mod record;
mod sequencer;
mod series;
mod series_error;
mod signal;
mod staged;
mod staging;
mod status;

pub use config::{CaptureConfig, SealPolicy};
pub use interception::{Capture, CaptureError, NotDrained};
pub use mirrored::MirroredDevice;
pub use series_error::SeriesError;
pub use staging::StagingConfig;
pub use status::{CaptureState, CaptureStatus};

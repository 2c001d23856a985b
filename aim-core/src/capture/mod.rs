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

mod baseline;
mod baselines;
mod caretaker;
mod compare;
mod comparison;
mod config;
mod cooling;
mod copy;
mod drain;
mod durability;
mod extents;
mod gate;
mod interception;
mod keeper;
mod leftover;
mod mapped_ring;
mod mirrored;
mod ranges;
mod record;
mod rescue;
mod resolve;
mod room;
mod series;
mod series_error;
mod shared;
mod signal;
mod source_disk;
mod staged;
mod staging;
mod start;
mod status;
mod take_up;
mod verify;
mod worker;

pub use baselines::{BaselineStatus, Baselines};
pub use comparison::Comparison;
pub use config::{CaptureConfig, HotPolicy, JournalPolicy, OnFull, Rates, SealPolicy};
pub use extents::{ExtentMap, Initial, MapError, MapFacts};
pub use interception::{Capture, NotDrained, Wanted};
pub use mirrored::MirroredDevice;
pub use series_error::SeriesError;
pub use source_disk::SourceDisk;
pub use staging::StagingConfig;
pub use start::CaptureError;
pub use status::{CaptureState, CaptureStatus, ResyncStatus, VerifyStatus};
pub use worker::{Worker, Workers};

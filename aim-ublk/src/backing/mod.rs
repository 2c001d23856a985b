//! The disk behind a device.

mod limits;
mod open;

pub use limits::{DiscardLimits, Limits};
pub use open::{Backing, Kind};

//! The disk behind a device.

mod limits;
mod open;
mod reader;

pub use limits::{DiscardLimits, Limits};
pub use open::{Backing, Kind};
pub use reader::BackingReader;

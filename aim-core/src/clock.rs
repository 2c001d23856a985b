//! Where times come from, so that tests can say what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::units::Timestamp;

/// A wall clock. It may step in either direction: whoever stores times clamps them.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds since 1970-01-01 UTC.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

//! How full the journal is, and how much slower that makes writers.

use std::io;
use std::time::Duration;

use crate::spool::{SourceSpool, SpoolError};

/// Fill from which on writers are slowed.
const SLOW_FROM: f64 = 0.75;
/// Fill below which a journal that was full is used again.
const AGAIN_BELOW: f64 = 0.75;
/// The pace where slowing begins, and where the journal is full, in bytes a second.
const FASTEST: f64 = (256 << 20) as f64;
const SLOWEST: f64 = (1 << 20) as f64;

/// How much of its room the journal uses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) used: u64,
    /// What it may have: the operator's limit, or what the file system gives.
    pub(super) room: u64,
}

impl Fill {
    /// Looks at the journal folder.
    pub(super) fn measure(spool: &SourceSpool, limit: Option<u64>) -> Result<Self, SpoolError> {
        let used = spool.outgoing()?.bytes();
        let free = spool.free_bytes()?;
        let given = used.saturating_add(free);
        Ok(Self {
            used,
            room: limit.map_or(given, |limit| limit.min(given)),
        })
    }

    /// Whether a file of so many bytes may be begun.
    pub(super) fn allows(&self, bytes: u64) -> bool {
        self.used.saturating_add(bytes) <= self.room
    }

    /// Whether there is so much room again that capture is worth while.
    pub(super) fn allows_again(&self, bytes: u64) -> bool {
        self.allows(bytes.saturating_mul(2)) && self.level() < AGAIN_BELOW
    }

    /// How long the drain rests behind `bytes`, so that the line can catch up before the journal
    /// is full. The pace falls by a constant factor for each part of the rest that is used up.
    pub(super) fn delay(&self, bytes: u64) -> Duration {
        let level = self.level();
        if level <= SLOW_FROM {
            return Duration::ZERO;
        }
        let part = ((level - SLOW_FROM) / (1.0 - SLOW_FROM)).min(1.0);
        let pace = FASTEST * (SLOWEST / FASTEST).powf(part);
        Duration::from_secs_f64(bytes as f64 / pace)
    }

    fn level(&self) -> f64 {
        self.used as f64 / self.room.max(1) as f64
    }
}

/// The error of a journal that has used up the room that it is allowed.
pub(super) fn used_up(fill: Fill) -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        format!("{} of {} bytes are used", fill.used, fill.room),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_falls_while_the_journal_fills_up() {
        let delay = |used| Fill { used, room: 100 }.delay(1 << 20);
        assert_eq!(delay(75), Duration::ZERO);
        assert!(delay(80) > Duration::ZERO);
        assert!(delay(90) > delay(80));
        assert_eq!(delay(100), Duration::from_secs(1));
        assert_eq!(delay(150), Duration::from_secs(1));
    }

    #[test]
    fn a_full_journal_is_used_again_only_when_it_is_worth_while() {
        let fill = |used| Fill { used, room: 1000 };
        assert!(fill(900).allows(100) && !fill(901).allows(100));
        assert!(!fill(760).allows_again(10));
        assert!(fill(700).allows_again(10) && !fill(700).allows_again(200));
    }
}

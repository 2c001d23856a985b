//! How long to wait before something that failed is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Doubles from try to try up to a bound, with jitter, so that many who lost the same host do
/// not come back together. It never gives up.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// It worked: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait, between half and all of what is due.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        let due = doubled.min(self.most);
        // hashing nothing with fresh random keys gives a random number
        let random = RandomState::new().build_hasher().finish();
        let part = (random % 1000) as u32;
        due / 2 + due * part / 2000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_start_over() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, most);
        let mut due = first;
        for _ in 0..100 {
            let wait = backoff.next();
            assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
            due = (due * 2).min(most);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}

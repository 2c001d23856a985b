//! Time latency, from samples.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Beyond this many samples every second one is forgotten: the latency gets coarser, not wrong.
const SAMPLES_MAX: usize = 4096;

/// Remembers when which LSN was captured.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    captured: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Takes a sample: the newest LSN captured, and the newest applied on the mirror.
    pub(crate) fn sample(&mut self, now: Instant, captured: u64, applied: u64) {
        if self.captured.back().is_none_or(|(_, lsn)| *lsn < captured) {
            self.captured.push_back((now, captured));
        }
        while self
            .captured
            .front()
            .is_some_and(|(_, lsn)| *lsn <= applied)
        {
            self.captured.pop_front();
        }
        if self.captured.len() > SAMPLES_MAX {
            let mut keep = false;
            // the oldest stays: it is what the latency is measured from
            self.captured.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Age of the oldest transaction that is not on the mirror, as far as samples can tell; zero
    /// if there is none.
    pub(crate) fn latency(&self, now: Instant) -> Duration {
        self.captured
            .front()
            .map_or(Duration::ZERO, |(then, _)| now.duration_since(*then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_the_age_of_the_oldest_unapplied_sample() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::default();
        meter.sample(at(0), 10, 10);
        assert_eq!(meter.latency(at(1)), Duration::ZERO);
        meter.sample(at(1), 20, 10);
        meter.sample(at(2), 30, 10);
        assert_eq!(meter.latency(at(4)), Duration::from_secs(3));
        meter.sample(at(4), 30, 20);
        assert_eq!(meter.latency(at(5)), Duration::from_secs(3));
        meter.sample(at(6), 30, 30);
        assert_eq!(meter.latency(at(7)), Duration::ZERO);
    }

    #[test]
    fn many_samples_are_thinned_and_the_oldest_kept() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for lsn in 1..10_000u64 {
            meter.sample(start + Duration::from_millis(lsn), lsn, 0);
        }
        assert!(meter.captured.len() <= SAMPLES_MAX);
        assert_eq!(
            meter.latency(start + Duration::from_millis(10_001)),
            Duration::from_secs(10)
        );
    }
}

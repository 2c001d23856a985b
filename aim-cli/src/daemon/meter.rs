//! Time latency and transfer rate, from samples.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rate is that of this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Beyond this many samples every second one is forgotten: the latency gets coarser, not wrong.
const SAMPLES_MAX: usize = 4096;

/// Remembers when which LSN was captured, and how many bytes had gone over the line when.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    captured: VecDeque<(Instant, u64)>,
    bytes: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Takes a sample: the newest LSN captured, the newest applied on the mirror, and all bytes
    /// transferred so far.
    pub(crate) fn sample(&mut self, now: Instant, captured: u64, applied: u64, bytes: u64) {
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
        self.bytes.push_back((now, bytes));
        while self
            .bytes
            .front()
            .is_some_and(|(then, _)| now.duration_since(*then) > RATE_WINDOW)
        {
            self.bytes.pop_front();
        }
    }

    /// Age of the oldest transaction that is not on the mirror, as far as samples can tell; zero
    /// if there is none.
    pub(crate) fn latency(&self, now: Instant) -> Duration {
        self.captured
            .front()
            .map_or(Duration::ZERO, |(then, _)| now.duration_since(*then))
    }

    /// Bytes per second over the last seconds.
    pub(crate) fn rate(&self) -> u64 {
        let (Some((start, first)), Some((end, last))) = (self.bytes.front(), self.bytes.back())
        else {
            return 0;
        };
        let seconds = end.duration_since(*start).as_secs_f64();
        match seconds > 0.0 {
            true => (last.saturating_sub(*first) as f64 / seconds) as u64,
            false => 0,
        }
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
        meter.sample(at(0), 10, 10, 0);
        assert_eq!(meter.latency(at(1)), Duration::ZERO);
        meter.sample(at(1), 20, 10, 0);
        meter.sample(at(2), 30, 10, 0);
        assert_eq!(meter.latency(at(4)), Duration::from_secs(3));
        meter.sample(at(4), 30, 20, 0);
        assert_eq!(meter.latency(at(5)), Duration::from_secs(3));
        meter.sample(at(6), 30, 30, 0);
        assert_eq!(meter.latency(at(7)), Duration::ZERO);
    }

    #[test]
    fn rate_looks_at_the_last_seconds_only() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for second in 0..20u64 {
            let bytes = if second < 10 { second * 1000 } else { 10_000 };
            meter.sample(start + Duration::from_secs(second), 0, 0, bytes);
        }
        assert_eq!(meter.rate(), 0);
        meter.sample(start + Duration::from_secs(20), 0, 0, 15_000);
        assert_eq!(meter.rate(), 1000);
    }

    #[test]
    fn many_samples_are_thinned_and_the_oldest_kept() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for lsn in 1..10_000u64 {
            meter.sample(start + Duration::from_millis(lsn), lsn, 0, 0);
        }
        assert!(meter.captured.len() <= SAMPLES_MAX);
        assert_eq!(
            meter.latency(start + Duration::from_millis(10_001)),
            Duration::from_secs(10)
        );
    }
}

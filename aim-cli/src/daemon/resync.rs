//! How fast a resync goes, and how much of it is left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aim_core::capture::ResyncStatus;

use super::report::ResyncReport;

/// How far back the average speed reaches.
const WINDOW: Duration = Duration::from_secs(10);

/// Watches a resync; to be told several times a second how it is.
#[derive(Debug, Default)]
pub(crate) struct ResyncMeter {
    /// All that became needed since it began.
    total: u64,
    /// What was needed at the last sample.
    needed: u64,
    /// When how much had been copied.
    samples: VecDeque<(Instant, u64)>,
}

impl ResyncMeter {
    /// Takes a sample; `None` while there is nothing to copy.
    pub(crate) fn sample(&mut self, now: Instant, status: Option<ResyncStatus>) {
        let Some(status) = status else {
            *self = Self::default();
            return;
        };
        let (needed, copied) = (status.needed.get(), status.copied.get());
        if self.samples.back().is_some_and(|(_, last)| copied < *last) {
            // another one has begun
            *self = Self::default();
        }
        // it falls in steps, and grows when more becomes needed
        self.total += needed.saturating_sub(self.needed);
        self.needed = needed;
        self.samples.push_back((now, copied));
        while self
            .samples
            .front()
            .is_some_and(|(then, _)| now.duration_since(*then) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// The resync that was sampled last, as it is at present.
    pub(crate) fn report(&self, status: ResyncStatus) -> ResyncReport {
        let (needed, copied) = (status.needed.get(), status.copied.get());
        let total = self.total.max(needed);
        let readable = needed.saturating_sub(status.unreadable.get());
        let left = readable.min(total.saturating_sub(copied));
        let rate = self.rate();
        let is_moving = rate.filter(|rate| *rate > 0);
        ResyncReport {
            needed_bytes: needed,
            copied_bytes: copied,
            total_bytes: total,
            unreadable_bytes: status.unreadable.get(),
            rate_bytes_per_second: rate,
            seconds_left: is_moving.map(|rate| left as f64 / rate as f64),
        }
    }

    fn rate(&self) -> Option<u64> {
        let ((then, before), (now, copied)) = (self.samples.front()?, self.samples.back()?);
        let seconds = now.duration_since(*then).as_secs_f64();
        (seconds > 0.0).then(|| ((copied - before) as f64 / seconds) as u64)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::units::ByteLen;

    use super::*;

    fn status(needed: u64, copied: u64) -> ResyncStatus {
        ResyncStatus {
            needed: ByteLen(needed),
            copied: ByteLen(copied),
            unreadable: ByteLen(0),
        }
    }

    #[test]
    fn rate_and_rest_follow_what_is_copied() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = ResyncMeter::default();
        assert_eq!(meter.report(status(1000, 0)).rate_bytes_per_second, None);
        meter.sample(at(0), Some(status(1000, 0)));
        meter.sample(at(2), Some(status(1000, 200)));
        let report = meter.report(status(1000, 200));
        assert_eq!(report.rate_bytes_per_second, Some(100));
        assert_eq!((report.total_bytes, report.seconds_left), (1000, Some(8.0)));
        // as much again becomes needed, then half of it is done
        meter.sample(at(4), Some(status(2000, 400)));
        assert_eq!(meter.report(status(2000, 400)).total_bytes, 2000);
        meter.sample(at(20), Some(status(1000, 1000)));
        let report = meter.report(status(1000, 1000));
        assert_eq!((report.total_bytes, report.seconds_left), (2000, None));
    }

    #[test]
    fn the_next_one_begins_at_nothing() {
        let start = Instant::now();
        let mut meter = ResyncMeter::default();
        meter.sample(start, Some(status(0, 1000)));
        meter.sample(start + Duration::from_secs(1), Some(status(300, 0)));
        let report = meter.report(status(300, 0));
        assert_eq!((report.total_bytes, report.copied_bytes), (300, 0));
        meter.sample(start + Duration::from_secs(2), None);
        assert_eq!(meter.report(status(0, 0)).total_bytes, 0);
    }
}

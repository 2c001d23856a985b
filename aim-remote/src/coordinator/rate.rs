//! Bytes per second, for people.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The average over the last seconds of a number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

/// How far back the average reaches.
const WINDOW: Duration = Duration::from_secs(10);

/// Samples closer together than this are one.
const STEP: Duration = Duration::from_millis(200);

impl Rate {
    /// Notes the number at `now` and gives the average until then.
    pub(crate) fn sample(&mut self, now: Instant, total: u64) -> u64 {
        while self.samples.len() > 1
            && self
                .samples
                .get(1)
                .is_some_and(|(at, _)| now - *at >= WINDOW)
        {
            self.samples.pop_front();
        }
        let last = self.samples.back();
        if last.is_none_or(|(at, _)| now - *at >= STEP) {
            self.samples.push_back((now, total));
        }
        let Some((start, before)) = self.samples.front() else {
            return 0;
        };
        let seconds = (now - *start).as_secs_f64();
        if seconds < STEP.as_secs_f64() {
            return 0;
        }
        (total.saturating_sub(*before) as f64 / seconds) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_over_the_window_and_falls_to_zero() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.sample(at(0), 0), 0);
        for second in 1..=60 {
            assert_eq!(rate.sample(at(second), second * 1000), 1000);
        }
        assert!(rate.sample(at(65), 60_000) < 1000);
        rate.sample(at(75), 60_000);
        assert_eq!(rate.sample(at(90), 60_000), 0);
    }
}

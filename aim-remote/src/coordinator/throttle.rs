//! Keeps what is sent below a bandwidth.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::{Bandwidth, TimeOfDay};

/// What may be sent at once after a time in which nothing was.
const BURST: Duration = Duration::from_millis(100);

/// A bucket that fills at the rate of the hour. Everyone who sends over the line takes out of the
/// same; who takes more than there is waits until that much has come.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    bandwidth: Bandwidth,
    /// When what was taken will have come; `None` before the first.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(bandwidth: Bandwidth) -> Self {
        Self {
            bandwidth,
            paid: Mutex::default(),
        }
    }

    /// Waits until so many bytes may be sent.
    pub(crate) async fn admit(&self, bytes: u64) {
        if self.bandwidth.hours().is_empty() {
            return;
        }
        let wait = self.take(Instant::now(), time_of_day(), bytes);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes `bytes` out of the bucket. Gives how long to wait before they are sent.
    fn take(&self, now: Instant, time: TimeOfDay, bytes: u64) -> Duration {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = self.bandwidth.at(time) else {
            *paid = None;
            return Duration::ZERO;
        };
        let full = now.checked_sub(BURST).unwrap_or(now);
        let from = paid.map_or(full, |paid| paid.max(full));
        let costs = bytes.saturating_mul(1_000_000) / rate.get();
        *paid = Some(from + Duration::from_micros(costs));
        from.saturating_duration_since(now)
    }
}

/// The time of day where this host is.
fn time_of_day() -> TimeOfDay {
    let mut now: libc::time_t = 0;
    // SAFETY: `tm` is a plain struct of numbers and a pointer, for which zero is a value
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values of ours; they are only written to
    unsafe {
        libc::time(&raw mut now);
        libc::localtime_r(&raw const now, &raw mut local);
    }
    let minutes = local.tm_hour * 60 + local.tm_min;
    TimeOfDay::from_minutes(u16::try_from(minutes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::transport::Hours;

    const NOON: u16 = 12 * 60;

    fn rate(bytes: u64) -> Bandwidth {
        Bandwidth::always(NonZeroU64::new(bytes).unwrap())
    }

    fn noon() -> TimeOfDay {
        TimeOfDay::from_minutes(NOON)
    }

    #[test]
    fn all_who_send_share_the_rate() {
        let throttle = Throttle::new(rate(1000));
        let start = Instant::now();
        // ten senders at once take a second each
        let waits: Vec<_> = (0..10)
            .map(|_| throttle.take(start, noon(), 1000))
            .collect();
        for (index, wait) in waits.into_iter().enumerate() {
            let due = Duration::from_secs(index as u64);
            assert_eq!(wait, due.saturating_sub(BURST), "sender {index}");
        }
        // what was taken has come after ten seconds, but for the burst
        let later = start + Duration::from_secs(9);
        assert_eq!(throttle.take(later, noon(), 1), Duration::from_millis(900));
    }

    #[test]
    fn a_pause_earns_no_more_than_a_burst() {
        let throttle = Throttle::new(rate(1000));
        let start = Instant::now();
        throttle.take(start, noon(), 1000);
        let later = start + Duration::from_secs(3600);
        assert_eq!(throttle.take(later, noon(), 100), Duration::ZERO);
        assert_eq!(throttle.take(later, noon(), 100), Duration::ZERO);
        assert_eq!(
            throttle.take(later, noon(), 100),
            Duration::from_millis(100)
        );
    }

    #[test]
    fn the_hour_decides() {
        let night = (TimeOfDay::from_minutes(0), noon());
        let throttle = Throttle::new(Bandwidth::by_hours(vec![Hours {
            span: Some(night),
            rate: NonZeroU64::new(10),
        }]));
        let start = Instant::now();
        let morning = TimeOfDay::from_minutes(NOON - 1);
        throttle.take(start, morning, 1000);
        assert!(throttle.take(start, morning, 1) > Duration::from_secs(99));
        // who has waited for long enough does not wait for what was owed before
        assert_eq!(throttle.take(start, noon(), 1 << 40), Duration::ZERO);
        assert_eq!(throttle.take(start, morning, 1), Duration::ZERO);
    }

    #[test]
    fn this_host_has_a_time_of_day() {
        assert!(time_of_day().to_string().as_str() < "24:00");
    }
}

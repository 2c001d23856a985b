//! Says again from time to time that something lasts.

use std::time::{Duration, Instant};

/// Between two reminders.
const INTERVAL: Duration = Duration::from_secs(600);

/// Knows since when something lasts, and when it was said last.
#[derive(Debug, Default)]
pub(crate) struct Reminder {
    since: Option<(Instant, Instant)>,
}

impl Reminder {
    /// To be told again and again whether it lasts. Gives for how long it has lasted when it is
    /// time to say so; its begin is for others to say.
    pub(crate) fn sample(&mut self, now: Instant, lasts: bool) -> Option<Duration> {
        if !lasts {
            self.since = None;
            return None;
        }
        let (begin, said) = self.since.get_or_insert((now, now));
        if now.duration_since(*said) < INTERVAL {
            return None;
        }
        *said = now;
        Some(now.duration_since(*begin))
    }

    /// For how long it has lasted; `None` if it does not.
    pub(crate) fn lasted(&self, now: Instant) -> Option<Duration> {
        self.since.map(|(begin, _)| now.duration_since(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reminds_each_ten_minutes_as_long_as_it_lasts() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut reminder = Reminder::default();
        let said: Vec<u64> = (0..25)
            .filter_map(|minute| reminder.sample(at(minute), true))
            .map(|lasted| lasted.as_secs() / 60)
            .collect();
        assert_eq!(said, [10, 20]);
        assert_eq!(reminder.lasted(at(25)), Some(Duration::from_secs(25 * 60)));
        assert_eq!(reminder.sample(at(26), false), None);
        assert_eq!(reminder.lasted(at(26)), None);
        assert_eq!(reminder.sample(at(27), true), None, "it begins anew");
    }
}

//! How fast a line may be used, by the time of day.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A time of day, to the minute, where this host is: `08:00`, `23:59`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// A text that is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of day: write hours and minutes, as in `08:00` or `17:30`")]
pub struct InvalidTime(pub String);

impl TimeOfDay {
    /// By minutes since midnight; those of the next day are taken for its own.
    pub fn from_minutes(minutes: u16) -> Self {
        Self(minutes % DAY)
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let number = |digits: &str, below: u16| {
            let fits = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            let value: Option<u16> = digits.parse().ok();
            value.filter(|value| fits && *value < below)
        };
        let parsed = text.split_once(':').and_then(|(hours, minutes)| {
            Some(Self(number(hours, 24)? * 60 + number(minutes, 60)?))
        });
        parsed.ok_or_else(|| InvalidTime(text.to_owned()))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A part of the day, and the rate that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Its first minute, and the one behind its last: over midnight where that comes before.
    /// `None` is all of the day.
    pub span: Option<(TimeOfDay, TimeOfDay)>,
    /// Bytes a second; `None` is no limit.
    pub rate: Option<NonZeroU64>,
}

/// Bytes a second that may be sent, by the time of day. The default is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth(Vec<Hours>);

impl Bandwidth {
    /// The same rate all day.
    pub fn always(rate: NonZeroU64) -> Self {
        let rate = Some(rate);
        Self(vec![Hours { span: None, rate }])
    }

    /// The first of these that the time falls into counts; there is no limit where none does.
    pub fn by_hours(hours: Vec<Hours>) -> Self {
        Self(hours)
    }

    /// What it is made of.
    pub fn hours(&self) -> &[Hours] {
        &self.0
    }

    /// The rate at a time of day; `None` is no limit.
    pub fn at(&self, time: TimeOfDay) -> Option<NonZeroU64> {
        let now = self.0.iter().find(|hours| hours.contain(time));
        now.and_then(|hours| hours.rate)
    }
}

impl Hours {
    fn contain(&self, time: TimeOfDay) -> bool {
        match self.span {
            None => true,
            Some((from, to)) if from < to => (from..to).contains(&time),
            // from a time to the same is all of the day
            Some((from, to)) => time >= from || time < to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> TimeOfDay {
        text.parse().unwrap()
    }

    #[test]
    fn times_have_one_spelling() {
        for text in ["00:00", "08:05", "23:59"] {
            assert_eq!(time(text).to_string(), text);
        }
        for text in [
            "", "8:00", "24:00", "08:60", "08", "08:00:00", "+8:00", "08-00",
        ] {
            let wrong = text.parse::<TimeOfDay>();
            assert_eq!(wrong, Err(InvalidTime(text.to_owned())));
        }
    }

    #[test]
    fn the_first_hours_that_fit_count() {
        let hours = |from, to, rate| Hours {
            span: Some((time(from), time(to))),
            rate: NonZeroU64::new(rate),
        };
        let rest = Hours {
            span: None,
            rate: NonZeroU64::new(9),
        };
        let by_hours = vec![
            hours("12:00", "13:00", 0),
            hours("08:00", "18:00", 1),
            hours("22:00", "06:00", 2),
        ];
        let bandwidth = Bandwidth::by_hours(by_hours.clone());
        let at = |text: &str| bandwidth.at(time(text)).map(NonZeroU64::get);
        let seen = ["07:59", "08:00", "12:30", "17:59", "18:00"].map(at);
        assert_eq!(seen, [None, Some(1), None, Some(1), None]);
        let seen = ["21:59", "22:00", "23:59", "00:00", "05:59", "06:00"].map(at);
        assert_eq!(seen, [None, Some(2), Some(2), Some(2), Some(2), None]);
        let bandwidth = Bandwidth::by_hours([by_hours, vec![rest]].concat());
        assert_eq!(bandwidth.at(time("07:00")), NonZeroU64::new(9));
        assert_eq!(bandwidth.at(time("12:00")), None);
        assert_eq!(Bandwidth::default().at(time("12:00")), None);
    }
}

//! Times for people and for JSON: RFC 3339, in UTC.

use aim_core::units::Timestamp;

const DAY_SECONDS: u64 = 86_400;

/// `2026-11-23T21:50:45.123456Z`; `-` for no time at all.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    if time.get() == 0 {
        return "-".to_owned();
    }
    let seconds = time.get() / 1_000_000_000;
    let micros = time.get() % 1_000_000_000 / 1000;
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let second = seconds % DAY_SECONDS;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // years that begin in March have their leap day last, which makes months regular
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days() {
        let at = |seconds: u64| rfc3339(Timestamp(seconds * 1_000_000_000 + 1000));
        assert_eq!(at(0), "1970-01-01T00:00:00.000001Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000001Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000001Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000001Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59.000001Z");
        assert_eq!(rfc3339(Timestamp(0)), "-");
    }
}

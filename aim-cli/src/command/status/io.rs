//! How long requests take, for people.

use std::fmt::Write;

use crate::daemon::{DeviceReport, LatencyReport};

/// A line for each kind of request that there was, and one for the journal; none for a device
/// that nobody has used.
pub(super) fn render(io: &DeviceReport, text: &mut String) {
    for ((name, request), (_, disk)) in io.request.named().into_iter().zip(io.disk.named()) {
        if request.count > 0 {
            let (took, disk) = (times(request), times(disk));
            let line = format!("  {name} {}: {took}; disk {disk}", request.count);
            // writing to a String can't fail
            let _ = writeln!(text, "{line}");
        }
    }
    if io.journal.count > 0 {
        let took = times(&io.journal);
        let _ = writeln!(text, "  journal waits {}: {took}", io.journal.count);
    }
}

fn times(latency: &LatencyReport) -> String {
    let [median, most, max] = [
        latency.median_seconds,
        latency.p99_seconds,
        latency.max_seconds,
    ]
    .map(time);
    format!("median {median}, 99 % {most}, max {max}")
}

/// With three digits at least, in the unit that suits it.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "unknown".to_owned(),
        Some(seconds) if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_was_is_told() {
        let mut io = DeviceReport::default();
        let mut text = String::new();
        render(&io, &mut text);
        assert_eq!(text, "");
        io.request.write = LatencyReport {
            count: 1234,
            median_seconds: Some(31e-6),
            p99_seconds: Some(0.00125),
            max_seconds: Some(2.5),
            ..LatencyReport::default()
        };
        io.disk.write = LatencyReport {
            count: 1234,
            median_seconds: Some(20.25e-6),
            p99_seconds: Some(0.001),
            max_seconds: Some(2.0),
            ..LatencyReport::default()
        };
        io.journal = LatencyReport {
            count: 3,
            median_seconds: Some(0.0),
            p99_seconds: Some(0.002),
            max_seconds: Some(0.002),
            ..LatencyReport::default()
        };
        render(&io, &mut text);
        assert_eq!(
            text,
            "  write 1234: median 31.0 us, 99 % 1.25 ms, max 2.50 s; \
             disk median 20.2 us, 99 % 1.00 ms, max 2.00 s\n  \
             journal waits 3: median 0.0 us, 99 % 2.00 ms, max 2.00 ms\n"
        );
    }
}

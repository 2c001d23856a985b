//! Status for people.

use std::fmt::Write;

use crate::config::Size;
use crate::daemon::{MirrorReport, Report, VolumeReport};

/// All of a report; lines end with a newline.
pub(super) fn render(report: &Report) -> String {
    let mut text = match (report.daemon.running, report.daemon.pid) {
        (true, Some(pid)) => format!("aim is running, process {pid}\n"),
        (true, None) => "aim is running\n".to_owned(),
        (false, _) => "aim is not running: this is what the files tell\n".to_owned(),
    };
    for volume in &report.volumes {
        render_volume(volume, &mut text);
    }
    for mirror in &report.mirrors {
        render_mirror(mirror, &mut text);
    }
    text
}

fn render_volume(volume: &VolumeReport, text: &mut String) {
    let device = volume.device.as_deref().unwrap_or("-");
    head(text, "volume", &volume.name, volume.state.word(), device);
    line(
        text,
        &[
            ("captured", lsn(volume.captured_lsn)),
            ("sealed", lsn(volume.sealed_lsn)),
            ("shipped", lsn(volume.shipped_lsn)),
            ("received", lsn(volume.received_lsn)),
            ("applied", lsn(volume.applied_lsn)),
        ],
    );
    line(
        text,
        &[
            ("waiting", size(volume.waiting_bytes)),
            ("latency", seconds(volume.latency_seconds)),
            ("rate", rate(volume.rate_bytes_per_second)),
        ],
    );
    if let Some(resync) = volume.resync {
        line(
            text,
            &[
                ("to be copied", size(Some(resync.needed_bytes))),
                ("copied", size(Some(resync.copied_bytes))),
                ("unreadable", size(Some(resync.unreadable_bytes))),
            ],
        );
    }
    note(text, "last error", volume.last_error.as_deref());
}

fn render_mirror(mirror: &MirrorReport, text: &mut String) {
    head(
        text,
        "mirror",
        &mirror.name,
        mirror.state.word(),
        &mirror.device,
    );
    line(
        text,
        &[
            ("received", lsn(mirror.received_lsn)),
            ("applied", lsn(mirror.applied_lsn)),
        ],
    );
    line(
        text,
        &[
            ("waiting", size(mirror.waiting_bytes)),
            ("latency", seconds(mirror.latency_seconds)),
            ("rate", rate(mirror.rate_bytes_per_second)),
        ],
    );
    let group = mirror
        .open_group_lsn
        .map(|lsn| format!("of LSN {lsn}: the mirror stays before it until all of it is there"));
    note(text, "group", group.as_deref());
    let different = mirror.different_bytes.filter(|bytes| *bytes > 0);
    let different = different.map(|bytes| Size(bytes).to_string());
    note(text, "different", different.as_deref());
    note(text, "last error", mirror.last_error.as_deref());
}

fn head(text: &mut String, kind: &str, name: &str, state: &str, device: &str) {
    // writing to a String can't fail
    let _ = writeln!(text, "\n{kind} {name}: {state}, {device}");
}

fn line(text: &mut String, values: &[(&str, String)]) {
    let parts: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let _ = writeln!(text, "  {}", parts.join(", "));
}

fn note(text: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = writeln!(text, "  {name}: {value}");
    }
}

fn lsn(lsn: Option<u64>) -> String {
    lsn.map_or_else(unknown, |lsn| lsn.to_string())
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(unknown, |bytes| Size(bytes).to_string())
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(unknown, |seconds| format!("{seconds:.1} s"))
}

fn rate(bytes: Option<u64>) -> String {
    bytes.map_or_else(unknown, |bytes| format!("{}/s", Size(bytes)))
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::State;

    #[test]
    fn a_mirror_says_what_it_waits_for_and_where_it_differs() {
        let report = Report {
            mirrors: vec![MirrorReport {
                name: "data".to_owned(),
                device: "/dev/vdb".to_owned(),
                applied_lsn: Some(780),
                open_group_lsn: Some(781),
                different_bytes: Some(65536),
                ..MirrorReport::default()
            }],
            ..Report::default()
        };
        let text = render(&report);
        assert!(
            text.contains("\n  group: of LSN 781: the mirror stays"),
            "{text}"
        );
        assert!(text.contains("\n  different: 64 KiB\n"), "{text}");
    }

    #[test]
    fn a_volume_fills_three_lines() {
        let report = Report {
            daemon: serde_json::from_str("{\"running\":true,\"pid\":9,\"version\":null}").unwrap(),
            volumes: vec![VolumeReport {
                name: "data".to_owned(),
                state: State::Retrying,
                device: Some("/dev/aim/data".to_owned()),
                captured_lsn: Some(812),
                waiting_bytes: Some(3 << 20),
                latency_seconds: Some(0.84),
                last_error: Some("no route".to_owned()),
                ..VolumeReport::default()
            }],
            mirrors: Vec::new(),
        };
        assert_eq!(
            render(&report),
            "aim is running, process 9\n\
             \n\
             volume data: retrying, /dev/aim/data\n  \
               captured 812, sealed unknown, shipped unknown, received unknown, applied unknown\n  \
               waiting 3 MiB, latency 0.8 s, rate unknown\n  \
               last error: no route\n"
        );
    }
}

//! Status for people.

use std::fmt::Write;

use super::io;
use crate::config::Size;
use crate::daemon::{
    FetchReport, MirrorReport, Report, ResyncReport, State, TargetReport, TargetStanding,
    VerifyReport, VolumeReport,
};

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
            (
                "waiting",
                waiting(volume.waiting_files, volume.waiting_bytes),
            ),
            ("latency", seconds(volume.latency_seconds)),
            ("rate", rate(volume.rate_bytes_per_second)),
            ("left", seconds(volume.seconds_left)),
        ],
    );
    if let Some(io) = &volume.io {
        io::render(io, text);
    }
    if let Some(baseline) = &volume.baseline {
        let rests = match baseline.resting {
            true => ", rests until they have it",
            false => "",
        };
        let said = format!(
            "{} of {} read for targets that lack files{rests}",
            Size(baseline.covered_bytes),
            Size(baseline.total_bytes)
        );
        note(text, "baseline", Some(&said));
    }
    // the only one is told above, unless there is more to say
    let is_only = volume.targets.len() == 1;
    for target in &volume.targets {
        let is_well = target.standing == TargetStanding::Follows;
        if !is_only || !is_well || target.needed_behind == Some(true) || !target.readers.is_empty()
        {
            render_target(target, text);
        }
    }
    if let Some(resync) = &volume.resync {
        render_resync(volume.state, resync, text);
    }
    if let Some(verify) = &volume.verify {
        render_verify(verify, text);
    }
    let different = volume.different_bytes.filter(|bytes| *bytes > 0);
    let different = different.map(|bytes| {
        let bytes = Size(bytes);
        format!(
            "the mirror differs in {bytes}: `aim sync {}` mends it",
            volume.name
        )
    });
    note(text, "DIFFERENT", different.as_deref());
    note(text, "EXTENT MAP", volume.map_error.as_deref());
    match volume.state {
        State::Passthrough => {
            let lasted = volume.passthrough_seconds.unwrap_or_default();
            let reason = volume.last_error.as_deref().unwrap_or("unknown");
            let said =
                format!("for {lasted:.0} s the disk has gone on without being captured: {reason}");
            note(text, "PASSTHROUGH", Some(&said));
        }
        _ => note(text, "last error", volume.last_error.as_deref()),
    }
}

const NEEDED_BEHIND: &str = "a mirror behind it waits for all of the disk (a baseline)";

fn render_target(target: &TargetReport, text: &mut String) {
    let (name, standing) = (&target.name, target.standing.word());
    let _ = writeln!(text, "  target {name}: {standing}, {}", target.place);
    let values = [
        ("shipped", lsn(target.shipped_lsn)),
        ("received", lsn(target.received_lsn)),
        ("applied", lsn(target.applied_lsn)),
        (
            "waiting",
            waiting(target.waiting_files, target.waiting_bytes),
        ),
        ("latency", seconds(target.latency_seconds)),
        ("rate", rate(target.rate_bytes_per_second)),
        ("left", seconds(target.seconds_left)),
    ];
    let _ = writeln!(text, "    {}", listed(&values));
    let different = target.different_bytes.filter(|bytes| *bytes > 0);
    let behind = target.needed_behind == Some(true);
    for (name, said) in [
        ("LEFT BEHIND", target.left_because.clone()),
        ("BEHIND IT", behind.then(|| NEEDED_BEHIND.to_owned())),
        ("DIFFERENT", different.map(|bytes| Size(bytes).to_string())),
        ("last error", target.last_error.clone()),
    ] {
        if let Some(said) = said {
            let _ = writeln!(text, "    {name}: {said}");
        }
    }
    for reader in &target.readers {
        let values = [
            ("received", lsn(Some(reader.received_lsn))),
            ("applied", lsn(Some(reader.applied_lsn))),
            ("seen", reader.seen.clone()),
        ];
        let _ = writeln!(text, "    mirror {}: {}", reader.mirror, listed(&values));
    }
}

fn render_fetch(fetch: &FetchReport, text: &mut String) {
    let values = [
        ("waiting there", size(fetch.waiting_bytes)),
        ("rate", rate(fetch.rate_bytes_per_second)),
    ];
    let _ = writeln!(text, "  fetches from {}: {}", fetch.place, listed(&values));
    if fetch.waits_for_baseline {
        let _ = writeln!(
            text,
            "    WAITS: there is no whole baseline in the store yet"
        );
    }
    if let Some(error) = &fetch.last_error {
        let _ = writeln!(text, "    last error: {error}");
    }
}

fn render_resync(state: State, resync: &ResyncReport, text: &mut String) {
    // while nothing is captured it grows with what the disk's users change
    let needed = match state {
        State::Passthrough => "changed, to be copied",
        _ => "to be copied",
    };
    line(
        text,
        &[
            (needed, size(Some(resync.needed_bytes))),
            ("copied", size(Some(resync.copied_bytes))),
            ("rate", rate(resync.rate_bytes_per_second)),
            ("left", seconds(resync.seconds_left)),
        ],
    );
    let unreadable = (resync.unreadable_bytes > 0).then(|| {
        let bytes = Size(resync.unreadable_bytes);
        format!("the disk can't read {bytes}: the mirror keeps what it has there")
    });
    note(text, "UNREADABLE", unreadable.as_deref());
}

fn render_verify(verify: &VerifyReport, text: &mut String) {
    if verify.running {
        line(
            text,
            &[
                ("verified", size(Some(verify.covered_bytes))),
                ("of", size(Some(verify.total_bytes))),
            ],
        );
    }
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
            (
                "waiting",
                waiting(mirror.waiting_files, mirror.waiting_bytes),
            ),
            ("latency", seconds(mirror.latency_seconds)),
            ("rate", rate(mirror.rate_bytes_per_second)),
            ("left", seconds(mirror.seconds_left)),
        ],
    );
    let group = mirror
        .open_group_lsn
        .map(|lsn| format!("of LSN {lsn}: the mirror stays before it until all of it is there"));
    note(text, "group", group.as_deref());
    let different = mirror.different_bytes.filter(|bytes| *bytes > 0);
    let different = different.map(|bytes| Size(bytes).to_string());
    note(text, "different", different.as_deref());
    let waits =
        "nobody asks what this disk holds: nothing is applied before all of it comes (a baseline)";
    note(text, "WAITS", mirror.waits_for_baseline.then_some(waits));
    let wanted = mirror.baseline_wanted_lsn.map(|lsn| {
        format!("from LSN {lsn} on, for mirrors behind this one: the source is asked for it")
    });
    note(text, "baseline", wanted.as_deref());
    for target in &mirror.targets {
        render_target(target, text);
    }
    if let Some(fetch) = &mirror.fetch {
        render_fetch(fetch, text);
    }
    note(text, "last error", mirror.last_error.as_deref());
}

fn head(text: &mut String, kind: &str, name: &str, state: &str, device: &str) {
    // writing to a String can't fail
    let _ = writeln!(text, "\n{kind} {name}: {state}, {device}");
}

fn line(text: &mut String, values: &[(&str, String)]) {
    let _ = writeln!(text, "  {}", listed(values));
}

fn listed(values: &[(&str, String)]) -> String {
    let parts = values.iter().map(|(name, value)| format!("{name} {value}"));
    parts.collect::<Vec<_>>().join(", ")
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

/// Bytes, and in how many files.
fn waiting(files: Option<u64>, bytes: Option<u64>) -> String {
    match files {
        Some(files) if files > 0 => format!("{} in {files} files", size(bytes)),
        _ => size(bytes),
    }
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
                waiting_files: Some(2),
                waiting_bytes: Some(3 << 20),
                seconds_left: Some(6.0),
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
               waiting 3 MiB in 2 files, latency 0.8 s, rate unknown, left 6.0 s\n  \
               last error: no route\n"
        );
    }

    #[test]
    fn what_must_not_be_overlooked_is_said_loudly() {
        let report = Report {
            volumes: vec![VolumeReport {
                name: "data".to_owned(),
                state: State::Passthrough,
                passthrough_seconds: Some(90.4),
                resync: Some(ResyncReport {
                    needed_bytes: 8 << 20,
                    unreadable_bytes: 4 << 20,
                    ..ResyncReport::default()
                }),
                verify: Some(VerifyReport {
                    running: true,
                    covered_bytes: 1 << 20,
                    total_bytes: 1 << 30,
                    ..VerifyReport::default()
                }),
                different_bytes: Some(65536),
                map_error: Some("no space".to_owned()),
                last_error: Some("the journal is full".to_owned()),
                ..VolumeReport::default()
            }],
            ..Report::default()
        };
        let text = render(&report);
        for line in [
            "volume data: passthrough, -",
            "  changed, to be copied 8 MiB, copied 0 B, rate unknown, left unknown",
            "  UNREADABLE: the disk can't read 4 MiB: the mirror keeps what it has there",
            "  verified 1 MiB, of 1 GiB",
            "  DIFFERENT: the mirror differs in 64 KiB: `aim sync data` mends it",
            "  EXTENT MAP: no space",
            "  PASSTHROUGH: for 90 s the disk has gone on without being captured: the journal is full",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

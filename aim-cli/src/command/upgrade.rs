//! `aim upgrade`: the running aim executes its program file anew, with its devices in use.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::{Output, UpgradeArgs};
use crate::config;
use crate::daemon::{Report, State, VolumeReport, ask, hand_over};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::output;

/// How often the new program is looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn upgrade(args: &UpgradeArgs, out: &Output) -> Outcome {
    let socket = config::load(&args.config.config)?.socket();
    let begun = Instant::now();
    let before = ask(&socket)?.ok_or_else(|| no_daemon(&socket))?;
    if !hand_over(&socket)? {
        return Err(no_daemon(&socket));
    }
    let after = successor(&socket, &before, begun + args.timeout.0)?;
    let upgraded = Upgraded::new(&before, &after, begun.elapsed());
    match out.json {
        true => output::json(&upgraded)?,
        false => output::line(upgraded.text().trim_end())?,
    }
    Ok(match upgraded.volumes.iter().all(|volume| volume.serves) {
        true => Exit::Success,
        false => Exit::Degraded,
    })
}

/// Waits until another program answers, with every volume started or failed.
fn successor(socket: &Path, before: &Report, deadline: Instant) -> Outcome<Report> {
    loop {
        // while one program makes room for the other the socket may close in the middle
        if let Ok(Some(report)) = ask(socket)
            && report.daemon.started != before.daemon.started
            && !report
                .volumes
                .iter()
                .any(|volume| volume.state == State::Starting)
        {
            return Ok(report);
        }
        if before.daemon.pid.is_some_and(has_ended) {
            return Err(Problem::new("the new program has ended")
                .at(socket.display())
                .hint("its log says why; its devices wait, without errors, until `aim run` takes them over")
                .exit(Exit::Degraded));
        }
        if Instant::now() > deadline {
            return Err(Problem::new("the new program does not answer")
                .at(socket.display())
                .hint("its log says what it waits for; its devices wait for it, without errors")
                .exit(Exit::Timeout));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Whether no process has this number any more. Where /proc does not show others' processes it
/// can't be told.
fn has_ended(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
}

/// What has become of it.
#[derive(Debug, Serialize)]
struct Upgraded {
    version_before: Option<String>,
    version: Option<String>,
    pid: Option<u32>,
    took_seconds: f64,
    volumes: Vec<UpgradedVolume>,
}

#[derive(Debug, Serialize)]
struct UpgradedVolume {
    name: String,
    state: State,
    device: Option<String>,
    last_error: Option<String>,
    /// Whether its device is served, as it was before.
    #[serde(skip)]
    serves: bool,
}

impl Upgraded {
    fn new(before: &Report, after: &Report, took: Duration) -> Self {
        let served = before.volumes.iter().filter(|volume| serves(volume));
        let volumes = served.map(|old| {
            let new = after.volumes.iter().find(|new| new.name == old.name);
            let new = new.cloned().unwrap_or_default();
            UpgradedVolume {
                name: old.name.clone(),
                serves: serves(&new),
                state: new.state,
                device: new.device,
                last_error: new.last_error,
            }
        });
        Self {
            version_before: before.daemon.version.clone(),
            version: after.daemon.version.clone(),
            pid: after.daemon.pid,
            took_seconds: took.as_secs_f64(),
            volumes: volumes.collect(),
        }
    }

    fn text(&self) -> String {
        let or_unknown =
            |version: &Option<String>| version.as_deref().unwrap_or("unknown").to_owned();
        let mut text = format!(
            "aim {} is now aim {}, process {}\n",
            or_unknown(&self.version_before),
            or_unknown(&self.version),
            self.pid.unwrap_or_default(),
        );
        for volume in &self.volumes {
            let device = volume.device.as_deref().unwrap_or("-");
            text.push_str(&format!(
                "volume {}: {}, {device}\n",
                volume.name,
                volume.state.word()
            ));
            if let Some(error) = &volume.last_error {
                text.push_str(&format!("  last error: {error}\n"));
            }
        }
        text
    }
}

/// Whether the device of the volume is live.
fn serves(volume: &VolumeReport) -> bool {
    volume.device.is_some() && !matches!(volume.state, State::Failed | State::Stopped)
}

fn no_daemon(socket: &Path) -> Failure {
    Problem::new("no aim is running")
        .at(socket.display())
        .hint("start `aim run`; or is it another run_dir?")
        .exit(Exit::Degraded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::DaemonReport;

    fn report(version: &str, state: State, device: Option<&str>) -> Report {
        Report {
            daemon: DaemonReport {
                running: true,
                pid: Some(7),
                version: Some(version.to_owned()),
                started: None,
            },
            volumes: vec![VolumeReport {
                name: "data".to_owned(),
                state,
                device: device.map(str::to_owned),
                ..VolumeReport::default()
            }],
            mirrors: Vec::new(),
        }
    }

    #[test]
    fn a_device_that_does_not_come_back_shows() {
        let path = Some("/dev/aim/data");
        let before = report("0.1.0", State::Retrying, path);
        let good = report("0.2.0", State::Running, path);
        let bad = report("0.2.0", State::Failed, None);
        let took = Duration::from_millis(1500);
        let upgraded = Upgraded::new(&before, &good, took);
        assert!(upgraded.volumes[0].serves);
        assert_eq!(
            upgraded.text(),
            "aim 0.1.0 is now aim 0.2.0, process 7\nvolume data: running, /dev/aim/data\n"
        );
        assert!(!Upgraded::new(&before, &bad, took).volumes[0].serves);
        // what did not run before is not waited for
        assert!(Upgraded::new(&bad, &bad, took).volumes.is_empty());
    }
}

//! `aim run` with a mirror: what arrives is applied, status and wait tell, a signal ends it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::program::{Ran, aim, text};
use crate::series::{SIZE, Series};

/// A mirror whose volume is that of a series of files.
pub(crate) struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// Pairs a mirror with a disk, as `aim init` on both hosts does.
    pub(crate) fn new(series: &Series) -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let directory = host.path("mirror");
        std::fs::create_dir(&directory).unwrap();
        series.store_identity(&directory);
        std::fs::write(host.path("disk.img"), vec![0; SIZE as usize]).unwrap();
        let config = format!(
            "run_dir = \"{}\"\n[mirror.data]\ndevice = \"{}\"\ndirectory = \"{}\"\n",
            host.path("run").display(),
            host.path("disk.img").display(),
            directory.display()
        );
        std::fs::write(host.path("aim.toml"), config).unwrap();
        host.aim(&["init", "data"]).exits(0);
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn aim(&self, arguments: &[&str]) -> Ran {
        let config = self.path("aim.toml");
        aim(&[arguments, &["-c", text(&config)]].concat())
    }

    /// Brings a file as the source does: under another name first.
    pub(crate) fn bring(&self, file: &Path) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let incoming = self.path("mirror/incoming");
        let partial = incoming.join(format!("{name}.part"));
        std::fs::copy(file, &partial).unwrap();
        std::fs::rename(partial, incoming.join(name)).unwrap();
    }
}

/// A running `aim run`; killed at the end of a test that fails.
pub(crate) struct Daemon {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Daemon {
    pub(crate) fn start(host: &Host) -> Self {
        Self::start_file(host, Path::new(env!("CARGO_BIN_EXE_aim")))
    }

    /// Starts the program that lies there.
    pub(crate) fn start_file(host: &Host, program: &Path) -> Self {
        let mut child = Command::new(program)
            .args([
                "run",
                "--log-format",
                "json",
                "-c",
                text(&host.path("aim.toml")),
            ])
            .env_remove("AIM_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut daemon = Self { child, log };
        daemon.until("running");
        daemon
    }

    /// Reads the log up to the line with this message.
    pub(crate) fn until(&mut self, message: &str) -> serde_json::Value {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            assert!(read > 0, "the log ended without `{message}`:\n{all}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if value["message"] == message {
                return value;
            }
            all.push_str(&line);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.until("stopped");
        self.child.wait().unwrap().code().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // after a clean stop there is nothing left to kill
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_mirror_applies_what_arrives_in_any_order() {
    let series = Series::new();
    let host = Host::new(&series);
    let daemon = Daemon::start(&host);
    for file in [2, 0, 1] {
        host.bring(&series.files[file]);
    }
    // files are noticed a moment after they arrived
    while host.aim(&["status", "--json"]).json()["mirrors"][0]["applied_lsn"] != 9 {
        std::thread::yield_now();
    }
    let waited = host
        .aim(&["wait", "data", "--json", "--timeout", "60s"])
        .exits(0);
    assert_eq!(waited.json()["applied_lsn"], 9);
    let report = host.aim(&["status", "--json"]).exits(0).json();
    let mirror = &report["mirrors"][0];
    assert_eq!(mirror["state"], "running");
    assert_eq!(
        (&mirror["received_lsn"], &mirror["waiting_bytes"]),
        (&9.into(), &0.into())
    );
    assert_eq!(report["daemon"]["running"], true);
    assert!(
        host.aim(&["status", "data"])
            .exits(0)
            .stdout
            .contains("mirror data: running")
    );
    assert_eq!(daemon.stop(), 0);
    series.assert_applied(&host.path("disk.img"));
    let report = host.aim(&["status", "--json"]).exits(3).json();
    assert_eq!(report["mirrors"][0]["applied_lsn"], 9);
    assert_eq!(report["mirrors"][0]["state"], "stopped");
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let series = Series::new();
    let host = Host::new(&series);
    let daemon = Daemon::start(&host);
    host.aim(&["run"]).exits(11).says("another aim is running");
    host.aim(&["status"]).exits(0);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn what_cannot_start_does_not_hold_back_the_rest() {
    let series = Series::new();
    let host = Host::new(&series);
    let config = std::fs::read_to_string(host.path("aim.toml")).unwrap();
    let broken = format!(
        "[mirror.broken]\ndevice = \"/nonexistent\"\ndirectory = \"{}\"\n",
        host.path("nowhere").display()
    );
    std::fs::write(host.path("aim.toml"), config + &broken).unwrap();
    let daemon = Daemon::start(&host);
    let report = host.aim(&["status", "--json"]).exits(3).json();
    assert_eq!(report["mirrors"][0]["state"], "failed");
    assert_eq!(report["mirrors"][1]["state"], "running");
    host.aim(&["wait", "broken"])
        .exits(3)
        .says("in state `failed`");
    host.aim(&["wait", "data"]).exits(0);
    assert_eq!(daemon.stop(), 3);
}

#[test]
fn nothing_that_can_start_is_a_failure() {
    let series = Series::new();
    let host = Host::new(&series);
    std::fs::remove_file(host.path("mirror/mirror.id")).unwrap();
    host.aim(&["run"]).exits(10).says("aim init data");
}

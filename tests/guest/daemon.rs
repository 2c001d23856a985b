//! `aim run` as a process that can be stopped and killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::machine::{shell, variable};

/// An emulated machine is slow; what takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `aim run`. Its log is shown if the test fails.
#[derive(Debug)]
pub(crate) struct Daemon {
    config: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = Command::new(variable("AIM_TEST_PROGRAM"))
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("aim starts");
        let log = Arc::default();
        let ready = follow(child.stderr.take().expect("piped"), Arc::clone(&log));
        let daemon = Self {
            config: config.to_owned(),
            child,
            log,
        };
        ready
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{config:?} is not ready"));
        daemon
    }

    /// Stops it as systemd would; it must end well.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, Signal::TERM).expect("it lives");
        let status = self.child.wait().expect("it ends");
        assert!(
            status.success(),
            "{} ended with {status}",
            self.config.display()
        );
    }

    /// Kills it; it has no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    /// Waits until all that was captured so far is applied.
    pub(crate) fn settle(&self) {
        shell(&format!("{} --timeout 300s", self.command("wait data")));
    }

    /// Runs `aim WORDS`. Gives its exit status and the lines of JSON that it printed.
    pub(crate) fn json(&self, words: &str) -> (i32, Vec<Value>) {
        let command = self.command(&format!("{words} --json"));
        let said = shell(&format!("{command} && echo 0 || echo $?"));
        let mut lines: Vec<Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let status = lines.pop().and_then(|status| status.as_i64());
        let status = status.and_then(|status| i32::try_from(status).ok());
        (status.expect("an exit status"), lines)
    }

    /// The field `name` of what `aim status` says of the volume, or of the mirror.
    pub(crate) fn status(&self, name: &str) -> Value {
        // its exit status tells of trouble, which may be what the test looks for
        let said = shell(&format!("{} || true", self.command("status --json")));
        let report: Value = serde_json::from_str(&said).expect("JSON");
        let all = ["volumes", "mirrors"].map(|kind| report[kind][0][name].clone());
        all.into_iter()
            .find(|value| !value.is_null())
            .unwrap_or(Value::Null)
    }

    fn command(&self, words: &str) -> String {
        let program = variable("AIM_TEST_PROGRAM");
        format!("{program} {words} --config {}", self.config.display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log.lock().map(|log| log.clone()).unwrap_or_default();
            println!("--- log of {}\n{log}", self.config.display());
        }
        // Only a test that failed gets here with a process that still lives.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the log, and sends once when it says that everything has been started.
fn follow(stderr: ChildStderr, log: Arc<Mutex<String>>) -> Receiver<()> {
    let (ready, is_ready) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(": running version=") {
                let _ = ready.send(()); // a second receiver is not there, and not needed
            }
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
            }
        }
    });
    is_ready
}

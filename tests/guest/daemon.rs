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
    /// The log again, line by line.
    lines: Receiver<String>,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        let program = variable("AIM_TEST_PROGRAM");
        let daemon = Self::spawn(config, Path::new(&program));
        daemon.until(": running version=");
        daemon
    }

    /// Starts the program that lies at this path.
    pub(crate) fn spawn(config: &Path, program: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("aim starts");
        let log = Arc::default();
        let lines = follow(child.stderr.take().expect("piped"), Arc::clone(&log));
        Self {
            config: config.to_owned(),
            child,
            log,
            lines,
        }
    }

    /// Waits for a line of the log with these words, behind the last one that was waited for.
    pub(crate) fn until(&self, words: &str) {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{} does not say `{words}`", self.config.display()));
            if line.contains(words) {
                return;
            }
        }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it execute its program file anew, and waits until that runs.
    pub(crate) fn upgrade(&self) -> Value {
        let said = shell(&self.command("upgrade --json"));
        self.until(": running version=");
        serde_json::from_str(&said).expect("JSON")
    }

    /// Has it leave its devices to the next one.
    pub(crate) fn leave(mut self) {
        self.signal(Signal::USR2);
        assert!(self.child.wait().expect("it ends").success());
    }

    /// Stops it as systemd would; it must end well.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
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

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it lives");
    }

    /// A command line of the program, about this daemon.
    pub(crate) fn command(&self, words: &str) -> String {
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

/// Keeps the log, and sends each line on.
fn follow(stderr: ChildStderr, log: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
            }
            let _ = sender.send(line); // nobody may wait for anything any more
        }
    });
    lines
}

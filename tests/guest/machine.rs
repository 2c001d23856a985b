//! The machine that the tests run on: its disks and its programs.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The disks that the tests may write to.
#[derive(Debug)]
pub(crate) struct Disks {
    /// What is mirrored.
    pub(crate) source: PathBuf,
    /// What it is mirrored to; as large as the source.
    pub(crate) mirror: PathBuf,
    /// Room for journal folders.
    pub(crate) journal: PathBuf,
}

impl Disks {
    /// The disks that `cargo xtask test` names.
    pub(crate) fn of_this_machine() -> Self {
        let names = variable("AIM_TEST_DISKS");
        let mut names = names.split(' ').map(PathBuf::from);
        let mut next = || names.next().expect("AIM_TEST_DISKS names three disks");
        Self {
            source: next(),
            mirror: next(),
            journal: next(),
        }
    }
}

/// The value of a variable that `cargo xtask test` sets.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set; use cargo xtask test"))
}

/// Runs a script of the shell, which must succeed, and returns what it wrote to its stdout.
#[track_caller]
pub(crate) fn shell(script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{script}\n{said}",
        output.status
    );
    String::from_utf8(output.stdout).expect("text")
}

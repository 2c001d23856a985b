//! The machine that the tests run on: its disks and its programs.

use std::env;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

/// The disks that the tests may write to.
#[derive(Clone, Debug)]
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

/// The place of the first byte in which two disks of one size differ, read from the media.
pub(crate) fn first_difference(one: &Path, other: &Path) -> Option<usize> {
    const PIECE: usize = 1 << 20;
    let open = |path: &Path| {
        let direct = OFlags::DIRECT.bits().cast_signed();
        File::options()
            .read(true)
            .custom_flags(direct)
            .open(path)
            .expect("the disk opens")
    };
    let (mut one, mut other) = (open(one), open(other));
    let mut buffers = [vec![0; PIECE + 4096], vec![0; PIECE + 4096]];
    let [mine, yours] = buffers.each_mut().map(|buffer| {
        // direct reads want memory that starts at a page
        let start = buffer.as_ptr().align_offset(4096);
        &mut buffer[start..start + PIECE]
    });
    let mut place = 0;
    loop {
        let length = one.read(mine).expect("the disk reads");
        assert_eq!(
            other.read(yours).expect("the disk reads"),
            length,
            "sizes differ"
        );
        if length == 0 {
            return None;
        }
        if mine[..length] != yours[..length] {
            let at = mine.iter().zip(yours.iter()).position(|(a, b)| a != b);
            return at.map(|at| place + at);
        }
        place += length;
    }
}

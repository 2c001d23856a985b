//! A plan of measurements, done in a guest.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use aim_bench::{Plan, Sample};
use aim_vm::{Exit, Guest};

use crate::cargo;
use crate::outcome::Result;

/// The programs that a guest needs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) aim: PathBuf,
    pub(crate) plain_loop: PathBuf,
    guest: PathBuf,
}

impl Programs {
    /// Builds them as they would be used; an `aim` that is given is not built.
    pub(crate) fn build(aim: Option<&Path>) -> Result<Self> {
        let ours = "-p aim-ublk -p aim-bench --bins --example plain_loop";
        let mut words: Vec<&str> = ours.split(' ').collect();
        let aim = match aim {
            Some(aim) => aim.canonicalize()?,
            None => {
                words.extend(["-p", "aim-cli"]);
                let [aim] = cargo::build_optimized(&words, ["aim"])?;
                aim
            }
        };
        let [plain_loop, guest] = cargo::build_optimized(&words, ["plain_loop", "bench-guest"])?;
        Ok(Self::new(aim, plain_loop, guest))
    }

    /// `aim`, `plain_loop` and `bench-guest`, however they were built.
    pub(crate) fn new(aim: PathBuf, plain_loop: PathBuf, guest: PathBuf) -> Self {
        Self {
            aim,
            plain_loop,
            guest,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        let path = PathBuf::new;
        Self::new(path(), path(), path())
    }

    /// The command line that has a guest do `plan`.
    pub(crate) fn command(&self, plan: &Plan) -> Result<[String; 2]> {
        Ok([
            self.guest.display().to_string(),
            serde_json::to_string(plan)?,
        ])
    }
}

/// Runs `guest` to its end, and returns what it has measured. What it says is passed on to stderr.
pub(crate) fn samples(guest: Guest) -> Result<Vec<Sample>> {
    let (sender, lines) = channel();
    let lines_to = Lines {
        line: Vec::new(),
        sender,
    };
    match guest.spawn(lines_to, io::stderr())?.wait()? {
        Exit::Status(0) => {}
        Exit::Status(status) => return Err(format!("the guest ended with status {status}").into()),
        Exit::TimedOut => return Err("the guest took too long and was killed".into()),
        Exit::Died(words) => return Err(format!("the guest died; its last words:\n{words}").into()),
    }
    let samples = lines.iter().map(|line| Ok(serde_json::from_slice(&line)?));
    samples.collect()
}

/// Passes on whole lines.
struct Lines {
    line: Vec<u8>,
    sender: Sender<Vec<u8>>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let _ = self.sender.send(line); // nobody waits for it after a failure
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

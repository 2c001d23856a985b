//! `cargo xtask sim`: both hosts in one thread, over doubles, as seeds say.

use std::io::{self, Write};
use std::process::Command;

use clap::Args;

use crate::cargo::{build_tests, stream};
use crate::outcome::{Outcome, Result};
use crate::progress::step;

/// Which seeds.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Runs them; [`Outcome::Failure`] if one fails.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let counts = simulate(options.from, options.seeds)?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(match counts.is_good(options.seeds) {
        true => Outcome::Success,
        false => Outcome::Failure,
    })
}

/// Runs so many seeds as a part of all tests; true if all passed.
pub(crate) fn smoke(seeds: u64) -> Result<bool> {
    Ok(simulate(0, seeds)?.is_good(seeds))
}

/// How many seeds ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    fn is_good(self, seeds: u64) -> bool {
        self.passed == seeds && self.failed == 0
    }

    /// Reads `seeds: 8 passed, 0 failed`; `None` for any other line.
    fn of_line(line: &str) -> Option<Self> {
        let (passed, failed) = line
            .trim()
            .strip_prefix("seeds: ")?
            .strip_suffix(" failed")?
            .split_once(" passed, ")?;
        Some(Self {
            passed: passed.parse().ok()?,
            failed: failed.parse().ok()?,
        })
    }
}

fn simulate(from: u64, seeds: u64) -> Result<Counts> {
    let simulator = build_tests("sim")?;
    step(&format!("simulating {seeds} seeds from {from} on"));
    let mut command = Command::new(simulator);
    command
        .args(["--exact", "seeds::seeds_pass", "--nocapture"])
        .env("AIM_SIM_SEEDS", seeds.to_string())
        .env("AIM_SIM_FROM", from.to_string());
    let mut told = Vec::new();
    // its own status says no more than the counts
    stream(&mut command, Tee(&mut told))?;
    let text = String::from_utf8_lossy(&told);
    let counts = text.lines().find_map(Counts::of_line);
    counts.ok_or_else(|| "the simulator did not say how many seeds passed".into())
}

/// Keeps what is written, and shows it.
struct Tee<'a>(&'a mut Vec<u8>);

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_the_simulator_counts() {
        let counts = Counts {
            passed: 8,
            failed: 2,
        };
        assert_eq!(Counts::of_line("seeds: 8 passed, 2 failed\n"), Some(counts));
        assert_eq!(Counts::of_line("test seeds::seeds_pass ... ok"), None);
        assert!(!counts.is_good(10));
        assert!(!counts.is_good(8));
    }
}

//! `cargo xtask sim`: the simulator of both hosts, on any number of seeds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::cargo::build_tests;
use crate::outcome::{Outcome, Result};
use crate::progress::{complain, detail, spelled};
use crate::setup;

/// Seeds that one process runs, so that it can be seen how far they are.
const BATCH: u64 = 1000;

/// Which seeds.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many seeds; of a single one each event is shown
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Runs them all and says how many there were.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let start = Instant::now();
    setup::packages()?;
    let simulator = build_tests("sim")?;
    let (mut passed, mut failed) = (0, 0);
    while passed + failed < options.seeds {
        let done = passed + failed;
        let count = BATCH.min(options.seeds - done);
        let tally = batch(&simulator, options.from + done, count)?;
        passed += tally.passed;
        failed += tally.failed;
        if options.seeds > BATCH {
            detail(&format!("{} of {} seeds", passed + failed, options.seeds));
        }
    }
    detail(&format!("all of it took {}", spelled(start.elapsed())));
    println!("{passed} passed, {failed} failed");
    Ok(match failed {
        0 => Outcome::Success,
        _ => Outcome::Failure,
    })
}

/// How many seeds ended in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Runs some seeds in a process of their own; what it says of failures goes on to stdout.
fn batch(simulator: &Path, first: u64, count: u64) -> Result<Tally> {
    let mut command = Command::new(simulator);
    command.args(["--exact", "seeds::seeds_pass", "--nocapture"]);
    command.env("AIM_SIM_FROM", first.to_string());
    command.env("AIM_SIM_SEEDS", count.to_string());
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut tally = None;
    for line in said.lines() {
        match tally_of(line) {
            Some(found) => tally = Some(found),
            None if is_of_harness(line) => {}
            None => println!("{line}"),
        }
    }
    match tally {
        Some(tally) if tally.passed + tally.failed == count => Ok(tally),
        _ => {
            complain(&String::from_utf8_lossy(&output.stderr));
            Err(format!("the simulator ended with {} at seed {first}", output.status).into())
        }
    }
}

/// Reads `seeds: 3 passed, 1 failed`; `None` for any other line.
fn tally_of(line: &str) -> Option<Tally> {
    let (passed, failed) = line.strip_prefix("seeds: ")?.split_once(" passed, ")?;
    Some(Tally {
        passed: passed.parse().ok()?,
        failed: failed.strip_suffix(" failed")?.parse().ok()?,
    })
}

/// Whether a line is what every test program says.
fn is_of_harness(line: &str) -> bool {
    let begins = ["running ", "test ", "failures:", "    seeds::"];
    line.is_empty() || begins.iter().any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_is_found_among_other_lines() {
        let tally = |passed, failed| Some(Tally { passed, failed });
        assert_eq!(tally_of("seeds: 1999 passed, 1 failed"), tally(1999, 1));
        for other in ["", "seeds: x passed, 1 failed", "3 passed, 0 failed"] {
            assert_eq!(tally_of(other), None, "{other:?}");
        }
        assert!(is_of_harness("test seeds::seeds_pass ... ok"));
        assert!(!is_of_harness("seed 7 fails in step 12"));
    }
}

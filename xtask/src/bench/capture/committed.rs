//! The small version of the measurement that goes with every test run: does a write cost more than
//! it did?
//!
//! Unoptimized programs are measured, since these are built for the tests anyhow. What is
//! compared is a ratio of instructions within one run, so neither the machine nor what else it does
//! matters.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aim_bench::{Kind, Plan, RamDisks};
use aim_vm::{Kernel, KernelImage};
use serde::{Deserialize, Serialize};

use super::{AIM, LOOP, guest, on_ram_disks, plain_loop, subject};
use crate::bench::comparison::Comparison;
use crate::bench::guest::{Programs, samples};
use crate::bench::jobs::{ROWS, Row};
use crate::cargo;
use crate::outcome::{Outcome, Result};
use crate::progress::{complain, detail};
use crate::setup;

/// How much more it may cost before the tests fail.
const TOLERANCE: f64 = 1.05;

/// Processors of the guest.
const PROCESSORS: u32 = 2;

/// Emulated, and on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Per job the instructions for a write through aim, to those for one through the plain loop.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
struct Ratios(BTreeMap<String, f64>);

/// Measures with what was built for the tests; true if nothing costs more than was committed.
pub(crate) fn smoke(programs: &Programs) -> Result<bool> {
    let image = setup::kernel(Kernel::New)?;
    let found = measure(&image, programs)?;
    let text = fs::read_to_string(file())?;
    let committed: Ratios = serde_json::from_str(&text)?;
    Ok(found.hold_against(&committed))
}

/// Measures and shows, and writes down if `commit`.
pub(super) fn run(image: &KernelImage, commit: bool, json: bool) -> Result<Outcome> {
    let [aim, plain_loop, guest] = cargo::build_all(["aim", "plain_loop", "bench-guest"])?;
    let found = measure(image, &Programs::new(aim, plain_loop, guest))?;
    let text = match json {
        true => serde_json::to_string(&found)?,
        false => serde_json::to_string_pretty(&found)?,
    };
    println!("{text}");
    if commit {
        fs::write(file(), serde_json::to_string_pretty(&found)? + "\n")?;
    }
    Ok(Outcome::Success)
}

/// Where the committed figures are.
fn file() -> PathBuf {
    cargo::workspace().join("tests/bench/capture.json")
}

/// What is measured. Who waits for whom when a write is synced differs from run to run, by a tenth of
/// the instructions, so that row is left to the full measurement.
fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(|row| row.is_small_write && !row.like_log_writes)
}

fn measure(image: &KernelImage, programs: &Programs) -> Result<Ratios> {
    let disks = RamDisks {
        disk_mib: 64,
        journal_mib: 256,
    };
    let plan = Plan {
        queues: 1,
        subjects: vec![
            subject(LOOP, plain_loop(false, "")),
            subject(AIM, Kind::Aim { lines: Vec::new() }),
        ],
        jobs: rows().map(|row| row.small(disks.disk_mib)).collect(),
        ..on_ram_disks(programs, disks)
    };
    let found = samples(guest(image, programs, &plan, PROCESSORS, TIMEOUT)?)?;
    let comparison = Comparison::new(&plan, &found, |_| LOOP);
    let ratios = comparison.rows.iter().map(|row| {
        let ratio = row.cell(AIM).and_then(|cell| cell.ratio);
        let ratio = ratio.ok_or_else(|| format!("{}: nothing was measured", row.job))?;
        // IOPS became a cost; more digits than repeat would only make differences
        Ok((row.job.clone(), (1e3 / ratio.median).round() / 1e3))
    });
    Ok(Ratios(ratios.collect::<Result<_>>()?))
}

impl Ratios {
    fn hold_against(&self, committed: &Self) -> bool {
        let renew = "if that is meant, renew it: cargo xtask bench capture --commit";
        let mut is_well = true;
        for (job, found) in &self.0 {
            let Some(before) = committed.0.get(job) else {
                complain(&format!("{job}: nothing is committed; {renew}"));
                is_well = false;
                continue;
            };
            let words = format!(
                "{job}: {found:.3} of the plain loop's instructions, {before:.3} committed"
            );
            if *found > before * TOLERANCE {
                complain(&format!("{words}; {renew}"));
                is_well = false;
            } else {
                detail(&words);
            }
        }
        is_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_five_percent_is_too_much_and_so_is_a_job_without_a_figure() {
        let ratios = |ratio| Ratios(BTreeMap::from([("job".to_owned(), ratio)]));
        assert!(ratios(1.2).hold_against(&ratios(1.2)));
        assert!(ratios(0.5).hold_against(&ratios(1.2)));
        assert!(ratios(1.259).hold_against(&ratios(1.2)));
        assert!(!ratios(1.261).hold_against(&ratios(1.2)));
        assert!(!ratios(1.0).hold_against(&Ratios(BTreeMap::new())));
    }

    #[test]
    fn what_is_committed_is_about_the_jobs_that_are_measured() {
        let committed: Ratios = serde_json::from_str(&fs::read_to_string(file()).unwrap()).unwrap();
        assert!(
            committed.0.keys().eq(rows().map(|row| row.name)),
            "{committed:?}"
        );
    }
}

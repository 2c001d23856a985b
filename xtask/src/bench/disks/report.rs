//! Tables and goals.

use std::fmt;

use aim_bench::{Plan, Sample};
use serde::Serialize;

use super::{AIM, DRBD, LOG_WRITES, Place, RAW};
use crate::bench::comparison::{Comparison, Goal, Row};
use crate::bench::jobs;
use crate::bench::machine::Machine;
use crate::outcome::Result;

/// Less than this says nothing.
const FACTOR: f64 = 1.5;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: usize,
    seconds: u64,
    places: Vec<Table>,
    /// The worst of the rows that write, at any place.
    disks_ratio_vs_drbd: Option<f64>,
}

/// With the journal at one place.
#[derive(Debug, Serialize)]
struct Table {
    journal: &'static str,
    #[serde(flatten)]
    comparison: Comparison,
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn new(machine: Machine, rounds: usize, seconds: u64) -> Self {
        Self {
            machine,
            rounds,
            seconds,
            places: Vec::new(),
            disks_ratio_vs_drbd: None,
        }
    }

    pub(crate) fn add(&mut self, place: Place, plan: &Plan, samples: &[Sample]) {
        let comparison = Comparison::new(plan, samples, |_| RAW);
        let ratios = comparison.rows.iter().filter_map(to_drbd);
        self.disks_ratio_vs_drbd = ratios.chain(self.disks_ratio_vs_drbd).reduce(f64::min);
        self.places.push(Table {
            journal: place.word(),
            goals: comparison.rows.iter().flat_map(goals).collect(),
            comparison,
        });
    }

    /// All of it in one line.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// Aim's writes to DRBD's, by their medians, where the row writes.
fn to_drbd(row: &Row) -> Option<f64> {
    jobs::row(&row.job).filter(|definition| definition.writes)?;
    Some(row.cell(AIM)?.iops.median / row.cell(DRBD)?.iops.median)
}

fn goals(row: &Row) -> Vec<Goal> {
    let Some((definition, aim)) = jobs::row(&row.job).zip(row.cell(AIM)) else {
        return Vec::new();
    };
    let ahead = to_drbd(row).map(|found| {
        let note = match found {
            _ if found >= FACTOR => "clearly ahead",
            _ if found * FACTOR > 1.0 => "a factor that says nothing",
            _ => "clearly behind",
        };
        let what = format!("{}: aim to DRBD, at least ({note})", row.job);
        Goal::at_least(what, 1.0, found)
    });
    let like = row.cell(LOG_WRITES).filter(|_| definition.like_log_writes);
    let like = like.map(|other| {
        // its slowest round to its median is what the spread allows
        let allowed = other.iops.least / other.iops.median;
        let what = format!(
            "{}: aim to dm-log-writes, at least its own slowest",
            row.job
        );
        Goal::at_least(what, allowed, aim.iops.median / other.iops.median)
    });
    ahead.into_iter().chain(like).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            rounds,
            seconds,
            ..
        } = self;
        writeln!(f, "{machine}; {rounds} rounds of {seconds} s a job\n")?;
        for table in &self.places {
            let journal = table.journal;
            writeln!(
                f,
                "Disk and journal {journal}: reads and writes per second\n"
            )?;
            let comparison = &table.comparison;
            comparison.table(f, |cell| cell.iops.to_string())?;
            writeln!(
                f,
                "\nDisk and journal {journal}: to the disk itself, in the same round\n"
            )?;
            comparison.table(f, |cell| {
                let ratio = cell.ratio.map(|ratio| ratio.to_string());
                ratio.unwrap_or_default()
            })?;
            writeln!(f)?;
            Goal::table(&table.goals, f)?;
            if !table.goals.is_empty() {
                writeln!(f)?;
            }
        }
        match self.disks_ratio_vs_drbd {
            Some(ratio) => writeln!(f, "disks_ratio_vs_drbd {ratio:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::Cell;
    use crate::bench::figure::Figure;

    fn cell(subject: &str, [least, median, most]: [f64; 3]) -> Cell {
        Cell {
            subject: subject.to_owned(),
            iops: Figure::of([least, median, most]).unwrap(),
            cost: Figure::of([1.0]).unwrap(),
            ratio: None,
        }
    }

    #[test]
    fn what_is_slower_than_the_slowest_of_dm_log_writes_misses_the_goal() {
        let row = |aim| Row {
            job: jobs::ROWS[3].name.to_owned(),
            cells: vec![
                cell(AIM, [1.0, aim, 999.0]),
                cell(LOG_WRITES, [80.0, 100.0, 200.0]),
                cell(DRBD, [10.0, 50.0, 60.0]),
            ],
        };
        let met = |aim| {
            goals(&row(aim))
                .iter()
                .map(|goal| goal.is_met)
                .collect::<Vec<_>>()
        };
        assert_eq!(met(81.0), [true, true]);
        assert_eq!(met(79.0), [true, false]);
        assert_eq!(met(49.0), [false, false]);
        assert_eq!(to_drbd(&row(49.0)), Some(49.0 / 50.0));
        assert!(goals(&row(81.0))[0].what.contains("clearly ahead"));
        assert!(goals(&row(60.0))[0].what.contains("says nothing"));
    }
}

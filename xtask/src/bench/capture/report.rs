//! Tables, goals, and the one figure.

use std::fmt;

use aim_bench::{Plan, Sample};
use serde::Serialize;

use super::{AIM, LOG_WRITES, LOOP, LOOP_ZERO_COPY};
use crate::bench::comparison::{Cell, Comparison, Goal, Row};
use crate::bench::jobs;
use crate::bench::machine::Machine;
use crate::outcome::Result;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: usize,
    processors: u32,
    queues: u16,
    depth: u16,
    #[serde(flatten)]
    comparison: Comparison,
    goals: Vec<Goal>,
    capture_ratio_vs_ublk_loop: Option<f64>,
}

/// A device that copies nothing is held against the plain loop that does not, either.
fn reference(subject: &str) -> &'static str {
    match subject.starts_with(AIM) && subject.contains("zero-copy") {
        true => LOOP_ZERO_COPY,
        false => LOOP,
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, processors: u32, plan: &Plan, samples: &[Sample]) -> Self {
        let comparison = Comparison::new(plan, samples, reference);
        let small = comparison
            .rows
            .iter()
            .filter(|row| jobs::row(&row.job).is_some_and(|row| row.is_small_write));
        let ratio = small.filter_map(|row| row.cell(AIM)?.ratio);
        Self {
            machine,
            rounds: plan.rounds,
            processors,
            queues: plan.queues,
            depth: plan.depth,
            goals: comparison.rows.iter().flat_map(goals).collect(),
            capture_ratio_vs_ublk_loop: ratio.map(|ratio| ratio.median).min_by(f64::total_cmp),
            comparison,
        }
    }

    /// All of it in one line.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

fn goals(row: &Row) -> Vec<Goal> {
    let Some(definition) = jobs::row(&row.job) else {
        return Vec::new();
    };
    let to_loop = |cell: &Cell| {
        let (goal, found) = (definition.goal?, cell.ratio?.median);
        let reference = reference(&cell.subject);
        let what = format!("{}: {} to {reference}, at least", row.job, cell.subject);
        Some(Goal::at_least(what, goal, found))
    };
    let ours = row
        .cells
        .iter()
        .filter(|cell| cell.subject.starts_with(AIM));
    let log_writes = row.cell(LOG_WRITES);
    let ahead = log_writes.zip(row.cell(AIM)).map(|(other, aim)| {
        let what = format!("{}: aim to dm-log-writes, at least", row.job);
        Goal::at_least(what, 1.0, aim.iops.median / other.iops.median)
    });
    // at 4 KiB what works in the kernel has no way out of it and back
    let ahead = ahead.filter(|_| row.job.starts_with("128k"));
    ours.filter_map(to_loop).chain(ahead).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            rounds,
            processors,
            queues,
            depth,
            ..
        } = self;
        writeln!(
            f,
            "{machine}; {processors} processors that take turns, {queues} queues of {depth}; {rounds} rounds\n"
        )?;
        writeln!(f, "Instructions for a read or a write:\n")?;
        self.comparison.table(f, |cell| cell.cost.to_string())?;
        writeln!(
            f,
            "\nReads and writes in as many instructions, to the plain loop in the same mode and round:\n"
        )?;
        self.comparison.table(f, |cell| {
            let ratio = cell.ratio.map(|ratio| ratio.to_string());
            ratio.unwrap_or_default()
        })?;
        writeln!(f)?;
        Goal::table(&self.goals, f)?;
        match self.capture_ratio_vs_ublk_loop {
            Some(ratio) => writeln!(f, "\ncapture_ratio_vs_ublk_loop {ratio:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aim_bench::{Job, Kind, Subject};

    use super::*;

    fn sample(round: usize, subject: &str, job: &str, milliseconds: u64) -> Sample {
        Sample {
            round,
            subject: subject.to_owned(),
            job: job.to_owned(),
            ios: 1000,
            writes: 1000,
            milliseconds,
        }
    }

    #[test]
    fn aim_is_held_against_the_loop_of_its_mode_within_each_round() {
        let (single, large) = (jobs::ROWS[0].name, jobs::ROWS[3].name);
        let other = "aim, read_path = \"zero-copy\"";
        let subjects = [LOOP, LOOP_ZERO_COPY, AIM, other, LOG_WRITES];
        let plan = Plan {
            subjects: subjects
                .map(|name| Subject {
                    name: name.to_owned(),
                    kind: Kind::Raw,
                })
                .to_vec(),
            jobs: [single, large]
                .map(|name| Job {
                    name: name.to_owned(),
                    words: Vec::new(),
                })
                .to_vec(),
            rounds: 2,
            ..super::super::tests::plan()
        };
        let samples = [
            sample(0, LOOP, single, 40),
            sample(1, LOOP, single, 20),
            sample(0, AIM, single, 50),
            sample(1, AIM, single, 50),
            sample(0, LOOP_ZERO_COPY, single, 30),
            sample(0, other, single, 60),
            sample(0, AIM, large, 100),
            sample(0, LOG_WRITES, large, 200),
        ];
        let report = Report::new(Machine::of_tests(), 4, &plan, &samples);
        let text = report.to_string();
        // (40/50 + 20/50) / 2, and 30/60
        let end = "| 4k randwrite, depth 1: aim to ublk loop, at least | 0.90 | 0.60, missed |\n\
            | 4k randwrite, depth 1: aim, read_path = \"zero-copy\" to ublk loop, zero copy, at least | 0.90 | 0.50, missed |\n\
            | 128k write, depth 8: aim to dm-log-writes, at least | 1.00 | 2.00, met |\n\n\
            capture_ratio_vs_ublk_loop 0.60\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.contains("| 50000 [50000-50000] |"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["rows"][0]["cells"][2]["cost"]["median"], 50_000.0);
        assert_eq!(json["goals"][2]["is_met"], true);
    }
}

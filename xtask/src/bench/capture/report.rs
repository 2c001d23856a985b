//! Tables, goals, and the one figure.

use std::fmt;

use aim_bench::{Plan, Sample};
use serde::Serialize;

use super::jobs::ROWS;
use super::{AIM, LOG_WRITES, LOOP};
use crate::bench::figure::Figure;
use crate::outcome::Result;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rounds: usize,
    queues: u16,
    subjects: Vec<String>,
    rows: Vec<Row>,
    goals: Vec<Goal>,
    capture_ratio_vs_ublk_loop: Option<f64>,
}

/// One job.
#[derive(Debug, Serialize)]
struct Row {
    job: String,
    cells: Vec<Cell>,
}

/// One job on one device.
#[derive(Debug, Serialize)]
struct Cell {
    subject: String,
    /// Instructions for a read or a write.
    instructions: Figure,
    iops: Figure,
    /// Its IOPS to those of the plain loop in the same round.
    to_plain_loop: Option<Figure>,
}

/// What is aimed at.
#[derive(Debug, Serialize)]
struct Goal {
    what: String,
    goal: f64,
    found: f64,
    is_met: bool,
}

impl Report {
    pub(crate) fn new(plan: &Plan, samples: Vec<Sample>) -> Self {
        let rows: Vec<Row> = plan
            .jobs
            .iter()
            .map(|job| Row::new(plan, &job.name, &samples))
            .collect();
        let goals = rows.iter().flat_map(Row::goals).collect();
        let small = rows
            .iter()
            .filter(|row| row.definition().is_some_and(|row| row.is_small_write));
        let ratio = small
            .filter_map(|row| row.ratio(AIM))
            .min_by(f64::total_cmp);
        Self {
            rounds: plan.rounds,
            queues: plan.queues,
            subjects: plan.subjects.iter().map(|s| s.name.clone()).collect(),
            rows,
            goals,
            capture_ratio_vs_ublk_loop: ratio,
        }
    }

    /// All of it in one line.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

impl Row {
    fn new(plan: &Plan, job: &str, samples: &[Sample]) -> Self {
        let of = |subject: &str| -> Vec<&Sample> {
            let fits = |sample: &&Sample| sample.job == job && sample.subject == subject;
            samples.iter().filter(fits).collect()
        };
        let plain = of(LOOP);
        let cells = plan.subjects.iter().filter_map(|subject| {
            let found = of(&subject.name);
            let pairs = found.iter().filter_map(|sample| {
                let other = plain.iter().find(|other| other.round == sample.round)?;
                Some((sample.iops(), other.iops()))
            });
            Some(Cell {
                subject: subject.name.clone(),
                instructions: Figure::of(found.iter().map(|sample| sample.cost()))?,
                iops: Figure::of(found.iter().map(|sample| sample.iops()))?,
                to_plain_loop: Figure::of_ratios(pairs),
            })
        });
        Self {
            job: job.to_owned(),
            cells: cells.collect(),
        }
    }

    fn definition(&self) -> Option<&'static super::jobs::Row> {
        ROWS.iter().find(|row| row.name == self.job)
    }

    fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }

    fn ratio(&self, subject: &str) -> Option<f64> {
        Some(self.cell(subject)?.to_plain_loop?.median)
    }

    fn goals(&self) -> Vec<Goal> {
        let Some(row) = self.definition() else {
            return Vec::new();
        };
        let to_loop = row.goal.zip(self.ratio(AIM)).map(|(goal, found)| Goal {
            what: format!("{}: aim to the plain loop, at least", self.job),
            goal,
            found,
            is_met: found >= goal,
        });
        let pair = self.cell(AIM).zip(self.cell(LOG_WRITES));
        let ahead = pair
            .filter(|_| row.ahead_of_log_writes)
            .map(|(aim, other)| {
                let found = aim.iops.median / other.iops.median;
                Goal {
                    what: format!("{}: aim to dm-log-writes, more than", self.job),
                    goal: 1.0,
                    found,
                    is_met: found > 1.0,
                }
            });
        to_loop.into_iter().chain(ahead).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rounds, {} queues: instructions for a read or a write, and IOPS to those of the plain loop in the \
             same round: median [least-most]\n",
            self.rounds, self.queues
        )?;
        writeln!(f, "| job | {} |", self.subjects.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.subjects.len()))?;
        for row in &self.rows {
            write!(f, "| {} |", row.job)?;
            for subject in &self.subjects {
                match row.cell(subject) {
                    None => write!(f, " |")?,
                    Some(cell) => {
                        write!(f, " {}", cell.instructions)?;
                        match cell.to_plain_loop {
                            Some(ratio) if subject != LOOP => write!(f, ", {ratio} |")?,
                            _ => write!(f, " |")?,
                        }
                    }
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "\n| goal | at least | found |\n|---|---|---|")?;
        for goal in &self.goals {
            let met = if goal.is_met { "met" } else { "missed" };
            let Goal {
                what, goal, found, ..
            } = goal;
            writeln!(f, "| {what} | {goal:.2} | {found:.2}, {met} |")?;
        }
        match self.capture_ratio_vs_ublk_loop {
            Some(ratio) => writeln!(f, "\ncapture_ratio_vs_ublk_loop {ratio:.2}"),
            None => Ok(()),
        }
    }
}

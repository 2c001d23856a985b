//! Devices side by side: jobs are rows, devices are columns.

use std::fmt::{self, Formatter};

use aim_bench::{Plan, Sample};
use serde::Serialize;

use super::figure::Figure;

/// What a guest has measured, per job and device.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) subjects: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One job.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) cells: Vec<Cell>,
}

/// One job on one device.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) subject: String,
    /// Reads and writes per second of the guest's clock.
    pub(crate) iops: Figure,
    /// Nanoseconds of the guest's clock for a read or a write.
    pub(crate) cost: Figure,
    /// Its IOPS to those of the device that it is held against, in the same round.
    pub(crate) ratio: Option<Figure>,
}

impl Comparison {
    /// Holds every device against `reference(device)`.
    pub(crate) fn new(
        plan: &Plan,
        samples: &[Sample],
        reference: impl Fn(&str) -> &'static str,
    ) -> Self {
        let subjects = || plan.subjects.iter().map(|subject| subject.name.as_str());
        let row = |job: &str| {
            let of = |subject: &str| -> Vec<&Sample> {
                let fits = |sample: &&Sample| sample.job == job && sample.subject == subject;
                samples.iter().filter(fits).collect()
            };
            let cells = subjects().filter_map(|subject| {
                let (found, others) = (of(subject), of(reference(subject)));
                let pairs = found.iter().filter_map(|sample| {
                    let other = others.iter().find(|other| other.round == sample.round)?;
                    Some((sample.iops(), other.iops()))
                });
                Some(Cell {
                    subject: subject.to_owned(),
                    iops: Figure::of(found.iter().map(|sample| sample.iops()))?,
                    cost: Figure::of(found.iter().map(|sample| sample.cost()))?,
                    ratio: Figure::of_ratios(pairs),
                })
            });
            Row {
                job: job.to_owned(),
                cells: cells.collect(),
            }
        };
        Self {
            subjects: subjects().map(str::to_owned).collect(),
            rows: plan.jobs.iter().map(|job| row(&job.name)).collect(),
        }
    }

    /// A table for a document.
    pub(crate) fn table(
        &self,
        f: &mut Formatter<'_>,
        show: impl Fn(&Cell) -> String,
    ) -> fmt::Result {
        writeln!(f, "| | {} |", self.subjects.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.subjects.len()))?;
        for row in &self.rows {
            let cells = self.subjects.iter().map(|subject| {
                let cell = row.cell(subject);
                cell.map(&show).unwrap_or_default()
            });
            let cells: Vec<String> = cells.collect();
            writeln!(f, "| {} | {} |", row.job, cells.join(" | "))?;
        }
        Ok(())
    }
}

impl Row {
    /// What was found for this device.
    pub(crate) fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }
}

/// What is aimed at.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: f64,
    pub(crate) found: f64,
    pub(crate) is_met: bool,
}

impl Goal {
    pub(crate) fn at_least(what: String, goal: f64, found: f64) -> Self {
        Self {
            what,
            goal,
            found,
            is_met: found >= goal,
        }
    }

    /// A table for a document, if there are any.
    pub(crate) fn table(goals: &[Self], f: &mut Formatter<'_>) -> fmt::Result {
        if goals.is_empty() {
            return Ok(());
        }
        writeln!(f, "| what | goal | found |\n|---|---|---|")?;
        for goal in goals {
            let met = if goal.is_met { "met" } else { "missed" };
            let Self {
                what, goal, found, ..
            } = goal;
            writeln!(f, "| {what} | {goal:.2} | {found:.2}, {met} |")?;
        }
        Ok(())
    }
}

//! Tables, goals, and the one figure.

use std::fmt;
use std::process::Command;

use serde::Serialize;

use super::site::Verified;
use super::turn::{Load, Tool, Turn, said_by};
use crate::bench::figure::Figure;
use crate::bench::machine::Machine;
use crate::outcome::Result;

/// What is aimed at: aim's speed to that of fio.
const GOAL: f64 = 1.0;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    fio: String,
    rounds: usize,
    loads: Vec<Table>,
    /// Why nothing was measured in a guest, if so.
    guest_left_out: Option<String>,
}

/// One load.
#[derive(Debug, Serialize)]
struct Table {
    load: &'static str,
    bytes: u64,
    is_in_guest: bool,
    rows: Vec<Row>,
    /// Of the others the fastest one: what aim is held against.
    rival: &'static str,
    aim_to_rival: Option<Figure>,
    alone: Option<Alone>,
}

/// In memory, by one thread, GB/s of the files.
#[derive(Debug, Serialize)]
struct Alone {
    verified: f64,
    copied: f64,
    hashed: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    tool: &'static str,
    megabytes_per_second: Figure,
    /// Aim's speed to this in the same round.
    aim_to_this: Figure,
}

impl Report {
    pub(super) fn new(rounds: usize) -> Result<Self> {
        let fio = said_by(Command::new("fio").arg("--version"))?;
        Ok(Self {
            machine: Machine::here(None),
            fio: fio.trim().to_owned(),
            rounds,
            loads: Vec::new(),
            guest_left_out: None,
        })
    }

    pub(super) fn leave_out_guest(&mut self, reason: String) {
        self.guest_left_out = Some(reason);
    }

    /// Takes in a load on the host, with what verification alone took; or in the guest, without.
    pub(super) fn add(
        &mut self,
        load: Load,
        bytes: u64,
        turns: &[Turn],
        verified: Option<&Verified>,
    ) {
        let seconds = |of: Tool| -> Vec<f64> {
            let of = turns.iter().filter(|(tool, _)| *tool == of);
            of.map(|(_, seconds)| *seconds).collect()
        };
        let aim = seconds(Tool::Aim);
        let rows = Tool::ALL.iter().filter_map(|tool| {
            let took = seconds(*tool);
            let speeds = took.iter().map(|took| bytes as f64 / 1e6 / took);
            let pairs = took.iter().copied().zip(aim.iter().copied());
            Some(Row {
                tool: tool.name(),
                megabytes_per_second: Figure::of(speeds)?,
                aim_to_this: Figure::of_ratios(pairs)?,
            })
        });
        let rows: Vec<Row> = rows.collect();
        let others = rows.iter().filter(|row| row.tool != Tool::Aim.name());
        let rival = others.max_by(|one, other| {
            let (one, other) = (one.megabytes_per_second, other.megabytes_per_second);
            one.median.total_cmp(&other.median)
        });
        let alone = verified.map(|verified| {
            let gigabytes = verified.bytes as f64 / 1e9;
            Alone {
                verified: gigabytes / verified.verify_seconds,
                copied: gigabytes / verified.copy_seconds,
                hashed: gigabytes / verified.hash_seconds,
            }
        });
        self.loads.push(Table {
            load: load.name(),
            bytes,
            is_in_guest: verified.is_none(),
            rival: rival.map_or("", |row| row.tool),
            aim_to_rival: rival.map(|row| row.aim_to_this),
            rows,
            alone,
        });
    }

    /// The worst of the loads, to the file.
    fn ratio(&self) -> Option<f64> {
        let tables = self.loads.iter().filter(|table| !table.is_in_guest);
        let ratios = tables.filter_map(|table| table.aim_to_rival);
        ratios.map(|ratio| ratio.median).min_by(f64::total_cmp)
    }

    /// All of it in one line.
    pub(super) fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            report: &'a Report,
            goal: f64,
            apply_ratio_vs_fio: Option<f64>,
        }
        Ok(serde_json::to_string(&Whole {
            report: self,
            goal: GOAL,
            apply_ratio_vs_fio: self.ratio(),
        })?)
    }
}

impl Table {
    fn place(&self) -> &'static str {
        match self.is_in_guest {
            true => "a virtio disk of a guest",
            false => "a file",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bytes / 1_000_000;
        writeln!(f, "### {}, {megabytes} MB to {}\n", self.load, self.place())?;
        writeln!(f, "| | MB/s | aim's MB/s to it |\n|---|---|---|")?;
        for row in &self.rows {
            let ratio = match row.tool == Tool::Aim.name() {
                true => String::new(),
                false => row.aim_to_this.to_string(),
            };
            let speed = row.megabytes_per_second;
            writeln!(f, "| {} | {speed} | {ratio} |", row.tool)?;
        }
        if let Some(alone) = &self.alone {
            writeln!(
                f,
                "\nThe files in memory, GB/s by one thread: parsed and verified {:.1}, copied {:.1}, hashed by \
                 XXH3 {:.1}",
                alone.verified, alone.copied, alone.hashed
            )?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; {}; {} rounds: median [least-most], ratios within a round\n",
            self.machine, self.fio, self.rounds
        )?;
        for table in &self.loads {
            write!(f, "{table}")?;
        }
        if let Some(reason) = &self.guest_left_out {
            writeln!(f, "In a guest: not measured: {reason}\n")?;
        }
        for table in &self.loads {
            let Some(ratio) = table.aim_to_rival else {
                continue;
            };
            let met = if ratio.median >= GOAL {
                "met"
            } else {
                "missed"
            };
            writeln!(
                f,
                "{} to {}, MB/s to the fastest other ({}), at least {GOAL:.1}: {:.2}, {met}",
                table.load,
                table.place(),
                table.rival,
                ratio.median
            )?;
        }
        match self.ratio() {
            Some(ratio) => writeln!(f, "apply_ratio_vs_fio {ratio:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rival_is_the_faster_one_and_the_worst_load_counts() {
        let mut report = Report::new(2).unwrap();
        let verified = Verified {
            bytes: 2_000_000_000,
            verify_seconds: 0.5,
            copy_seconds: 0.25,
            hash_seconds: 0.125,
        };
        let turns = |aim, direct, cached| {
            [
                (Tool::Aim, aim),
                (Tool::FioDirect, direct),
                (Tool::FioCached, cached),
            ]
        };
        let bytes = 1_000_000_000;
        report.add(Load::Small, bytes, &turns(4.0, 9.0, 5.0), Some(&verified));
        report.add(Load::Large, bytes, &turns(1.0, 0.9, 2.0), Some(&verified));
        let in_guest = [(Tool::Aim, 4.0), (Tool::ReplayLog, 2.0)];
        report.add(Load::Large, bytes, &in_guest, None);
        let text = report.to_string();
        assert!(text.contains("| aim | 250 [250-250] |  |"), "{text}");
        assert!(
            text.contains("(fio, page cache), at least 1.0: 1.25, met"),
            "{text}"
        );
        assert!(
            text.contains("(replay-log), at least 1.0: 0.50, missed"),
            "{text}"
        );
        assert!(
            text.contains("depth 32), at least 1.0: 0.90, missed"),
            "{text}"
        );
        assert!(text.contains("verified 4.0, copied 8.0"), "{text}");
        assert!(text.ends_with("\napply_ratio_vs_fio 0.90\n"), "{text}");
        let json = report.to_json().unwrap();
        assert!(json.contains(r#""apply_ratio_vs_fio":0.9"#), "{json}");
    }
}

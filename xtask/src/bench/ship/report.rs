//! Tables, goals, and the one figure.

use std::fmt;

use serde::Serialize;

use super::scenario::{LONG, LOOPBACK, Measured, NARROW, Sample};
use super::site::CIPHER;
use super::tool::Tool;
use crate::bench::figure::Figure;
use crate::outcome::Result;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    cipher: &'static str,
    rounds: usize,
    lines: Vec<Table>,
    /// Lines that can't be had here, and why.
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    line: &'static str,
    reason: String,
}

/// One line.
#[derive(Debug, Serialize)]
struct Table {
    line: &'static str,
    content: &'static str,
    files: usize,
    bytes: u64,
    tools: Vec<Row>,
}

/// One tool. Ratios are those of aim, without compression, to this tool in the same round.
#[derive(Debug, Serialize)]
struct Row {
    tool: &'static str,
    #[serde(skip)]
    is_other: bool,
    megabytes_per_second: Figure,
    /// Per gigabyte of files.
    client_cpu_seconds: Figure,
    server_cpu_seconds: Figure,
    aim_to_this_speed: Figure,
    aim_to_this_cpu: Figure,
}

/// What is aimed at.
#[derive(Debug, Serialize)]
struct Goal {
    what: &'static str,
    goal: f64,
    found: f64,
    is_met: bool,
}

impl Report {
    pub(super) fn new(rounds: usize) -> Self {
        Self {
            cipher: CIPHER,
            rounds,
            lines: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, measured: Measured) {
        let gigabytes = measured.bytes as f64 / 1e9;
        let ours = measured.tools.iter().find(|(tool, _)| *tool == Tool::Aim);
        let ours = ours.map(|(_, samples)| samples.as_slice());
        let ours = ours.unwrap_or_default();
        let rows = measured.tools.iter().filter_map(|(tool, samples)| {
            let pairs = || ours.iter().zip(samples);
            let per_gigabyte =
                |of: fn(&Sample) -> f64| Figure::of(samples.iter().map(|s| of(s) / gigabytes));
            let speed = |sample: &Sample| 1e3 * gigabytes / sample.took.as_secs_f64();
            Some(Row {
                tool: tool.name(),
                is_other: tool.is_other(),
                megabytes_per_second: Figure::of(samples.iter().map(speed))?,
                client_cpu_seconds: per_gigabyte(|sample| sample.client.as_secs_f64())?,
                server_cpu_seconds: per_gigabyte(|sample| sample.server.as_secs_f64())?,
                aim_to_this_speed: Figure::of_ratios(
                    pairs().map(|(aim, other)| (speed(aim), speed(other))),
                )?,
                aim_to_this_cpu: Figure::of_ratios(
                    pairs().map(|(aim, other)| (cpu(aim), cpu(other))),
                )?,
            })
        });
        self.lines.push(Table {
            line: measured.name,
            content: measured.content.word(),
            files: measured.files,
            bytes: measured.bytes,
            tools: rows.collect(),
        });
    }

    pub(super) fn leave_out(&mut self, line: &'static str, reason: &str) {
        self.left_out.push(LeftOut {
            line,
            reason: reason.to_owned(),
        });
    }

    fn rows(&self, line: &str) -> &[Row] {
        let table = self.lines.iter().find(|table| table.line == line);
        table
            .map(|table| table.tools.as_slice())
            .unwrap_or_default()
    }

    fn row(&self, line: &str, tool: Tool) -> Option<&Row> {
        self.rows(line).iter().find(|row| row.tool == tool.name())
    }

    /// How much faster aim is over loopback than that tool of OpenSSH to which it is nearest.
    fn ratio(&self) -> Option<f64> {
        let others = self.rows(LOOPBACK).iter().filter(|row| row.is_other);
        others
            .map(|row| row.aim_to_this_speed.median)
            .min_by(f64::total_cmp)
    }

    fn goals(&self) -> Vec<Goal> {
        let others = self.rows(LOOPBACK).iter().filter(|row| row.is_other);
        let cpu = others
            .map(|row| row.aim_to_this_cpu.median)
            .max_by(f64::total_cmp);
        let scp = self.row(LONG, Tool::Scp);
        let packed = self.row(NARROW, Tool::AimPacked);
        let at_least = |what, goal, found: Option<f64>| {
            let found = found?;
            let is_met = found >= goal;
            Some(Goal {
                what,
                goal,
                found,
                is_met,
            })
        };
        let cpu = cpu.map(|found| Goal {
            what: "loopback, CPU of both ends, to the thriftiest tool, at most",
            goal: 0.8,
            found,
            is_met: found <= 0.8,
        });
        let goals = [
            at_least(
                "loopback, MB/s to the fastest tool, more than",
                1.0,
                self.ratio(),
            ),
            cpu,
            at_least(
                "50 ms, MB/s to scp, at least",
                4.0,
                scp.map(|row| row.aim_to_this_speed.median),
            ),
            at_least(
                "20 MB/s, text, MB/s with compression to without, at least",
                2.0,
                packed.map(|row| 1.0 / row.aim_to_this_speed.median),
            ),
        ];
        goals.into_iter().flatten().collect()
    }

    /// All of it in one line.
    pub(super) fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            report: &'a Report,
            goals: Vec<Goal>,
            ship_ratio_vs_best_openssh: Option<f64>,
        }
        let whole = Whole {
            report: self,
            goals: self.goals(),
            ship_ratio_vs_best_openssh: self.ratio(),
        };
        Ok(serde_json::to_string(&whole)?)
    }
}

fn cpu(sample: &Sample) -> f64 {
    (sample.client + sample.server).as_secs_f64()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} files, {} MB, {}",
            self.line,
            self.files,
            self.bytes / 1_000_000,
            self.content
        )?;
        writeln!(
            f,
            "  {:<14}{:>20}{:>20}{:>20}{:>20}{:>20}",
            "", "MB/s", "client CPU s/GB", "server CPU s/GB", "aim/this MB/s", "aim/this CPU"
        )?;
        for row in &self.tools {
            writeln!(
                f,
                "  {:<14}{:>20}{:>20}{:>20}{:>20}{:>20}",
                row.tool,
                row.megabytes_per_second,
                row.client_cpu_seconds,
                row.server_cpu_seconds,
                row.aim_to_this_speed,
                row.aim_to_this_cpu
            )?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} rounds: median [least-most], ratios within a round\n",
            self.cipher, self.rounds
        )?;
        for table in &self.lines {
            write!(f, "{table}")?;
        }
        for LeftOut { line, reason } in &self.left_out {
            writeln!(f, "{line}: not measured: {reason}\n")?;
        }
        for goal in self.goals() {
            let met = if goal.is_met { "met" } else { "missed" };
            let Goal {
                what, goal, found, ..
            } = goal;
            writeln!(f, "{what} {goal:.1}: {found:.2}, {met}")?;
        }
        match self.ratio() {
            Some(ratio) => writeln!(f, "ship_ratio_vs_best_openssh {ratio:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::ship::site::Content;

    fn measured(name: &'static str, tools: &[(Tool, [u64; 2])]) -> Measured {
        let samples = |seconds: [u64; 2]| {
            let sample = |took| Sample {
                took: Duration::from_secs(took),
                client: Duration::from_secs(took),
                server: Duration::from_secs(1),
            };
            seconds.map(sample).to_vec()
        };
        let tools = tools
            .iter()
            .map(|&(tool, seconds)| (tool, samples(seconds)));
        Measured {
            name,
            content: Content::Random,
            files: 2,
            bytes: 2_000_000_000,
            tools: tools.collect(),
        }
    }

    #[test]
    fn aim_is_held_against_the_best_of_the_others_within_each_round() {
        let mut report = Report::new(2);
        report.add(measured(
            LOOPBACK,
            &[
                (Tool::Scp, [6, 20]),
                (Tool::Aim, [4, 10]),
                (Tool::Rsync, [9, 90]),
            ],
        ));
        report.add(measured(LONG, &[(Tool::Aim, [1, 2]), (Tool::Scp, [5, 10])]));
        report.add(measured(
            NARROW,
            &[(Tool::AimPacked, [2, 2]), (Tool::Aim, [3, 3])],
        ));
        report.leave_out("elsewhere", "no netem");
        let text = report.to_string();
        let scp = text.lines().find(|line| line.starts_with("  scp "));
        assert!(scp.unwrap().contains(" 217 [100-333] "), "{text}");
        // (6/4 + 20/10) / 2, and of the CPU (5/7 + 11/21) / 2
        let end = "\nelsewhere: not measured: no netem\n\n\
            loopback, MB/s to the fastest tool, more than 1.0: 1.75, met\n\
            loopback, CPU of both ends, to the thriftiest tool, at most 0.8: 0.62, met\n\
            50 ms, MB/s to scp, at least 4.0: 5.00, met\n\
            20 MB/s, text, MB/s with compression to without, at least 2.0: 1.50, missed\n\
            ship_ratio_vs_best_openssh 1.75\n";
        assert!(text.ends_with(end), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(json["ship_ratio_vs_best_openssh"], 1.75);
        assert_eq!(json["lines"][0]["tools"][0]["tool"], "scp");
        assert_eq!(json["goals"][3]["is_met"], false);
    }
}

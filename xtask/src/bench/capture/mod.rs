//! `cargo xtask bench capture`: what a read or a write costs, in instructions.
//!
//! ```text
//! guest whose clock counts instructions
//!   fio ──▶ /dev/ram0                                     the disk itself
//!   fio ──▶ ublk ──▶ plain_loop ──▶ /dev/ram0             what any ublk device costs
//!   fio ──▶ ublk ──▶ aim run ──▶ /dev/ram0
//!                       └──▶ ext4 on /dev/ram1            its journal
//!   fio ──▶ dm-log-writes ──▶ /dev/ram0, log on /dev/ram1
//! ```
//!
//! All processors of such a guest take turns, so what threads do beside each other is added up, and a
//! clock that counts does not see what else this machine does. Cost is measured, not time.

mod committed;
mod report;

pub(crate) use self::committed::smoke;

use std::path::PathBuf;
use std::time::Duration;

use aim_bench::{Kind, Plan, RamDisks, Subject};
use aim_vm::{Accel, Guest, Kernel, KernelImage};
use clap::Args;

use self::report::Report;
use super::guest::{Programs, samples};
use super::jobs::Only;
use super::machine::Machine;
use crate::outcome::{Outcome, Result};
use crate::progress::step;
use crate::setup;

/// The disk itself.
const RAW: &str = "RAM disk";
/// What aim is held against.
const LOOP: &str = "ublk loop";
const LOOP_ZERO_COPY: &str = "ublk loop, zero copy";
const AIM: &str = "aim";
const LOG_WRITES: &str = "dm-log-writes";

/// What is measured, and how often.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds in which every device has its turn
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only the jobs, or the devices, whose names hold this; may be given several times. Of
    /// devices the plain loop is always one
    #[arg(long, value_name = "JOB|DEVICE")]
    only: Vec<String>,
    /// Times the usual number of I/Os
    #[arg(long, default_value_t = 1.0, value_name = "TIMES")]
    ios: f64,
    /// Kernel of the guest: 7.3 or 6.12
    #[arg(long, default_value = "7.3")]
    kernel: Kernel,
    /// Processors of the guest
    #[arg(long, default_value_t = 4)]
    smp: u32,
    /// Queues of the ublk devices
    #[arg(long, default_value_t = 4)]
    queues: u16,
    /// Measures aim once more with this line in its volume's table
    #[arg(long, value_name = "LINE")]
    aim_line: Vec<String>,
    /// Measures the plain loop once more with these words
    #[arg(long, value_name = "WORDS")]
    loop_words: Vec<String>,
    /// Measures this aim in the place of the one that is built
    #[arg(long, value_name = "FILE")]
    aim: Option<PathBuf>,
    /// Seconds after which the guest is killed
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
    /// Measures what `cargo xtask test` does, and as it does: few I/Os, unoptimized programs
    #[arg(long)]
    small: bool,
    /// Has `cargo xtask test` hold later changes against what it finds now; --small goes with it
    #[arg(long)]
    commit: bool,
    /// Prints one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Measures everything. Where goals are missed the tables say so.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(options.kernel)?;
    step("building aim and the plain loop");
    if options.small || options.commit {
        return committed::run(&image, options.commit, options.json);
    }
    let programs = Programs::build(options.aim.as_deref())?;
    let plan = options.plan(&programs);
    step("measuring");
    let timeout = Duration::from_secs(options.timeout);
    let found = samples(guest(&image, &programs, &plan, options.smp, timeout)?)?;
    let machine = Machine::here(Some(image.release()?));
    let report = Report::new(machine, options.smp, &plan, &found);
    match options.json {
        true => println!("{}", report.to_json()?),
        false => print!("{report}"),
    }
    Ok(Outcome::Success)
}

/// The guest whose clock counts.
fn guest(
    image: &KernelImage,
    programs: &Programs,
    plan: &Plan,
    processors: u32,
    timeout: Duration,
) -> Result<Guest> {
    let disks = plan
        .ram_disks
        .map_or(0, |disks| disks.disk_mib + disks.journal_mib);
    let memory = u32::try_from(disks)? + 1536;
    Ok(Guest::new(image, programs.command(plan)?)
        .accel(Accel::Icount)
        .processors(processors)
        .memory_mib(memory)
        .timeout(timeout))
}

/// A device and its name.
fn subject(name: &str, kind: Kind) -> Subject {
    Subject {
        name: name.to_owned(),
        kind,
    }
}

fn plain_loop(zero_copy: bool, words: &str) -> Kind {
    let words = words.split_whitespace().map(str::to_owned).collect();
    Kind::PlainLoop { zero_copy, words }
}

impl Options {
    fn plan(&self, programs: &Programs) -> Plan {
        let only = Only::new(&self.only);
        let disks = RamDisks {
            disk_mib: 192,
            journal_mib: 1024,
        };
        let mut subjects = self.subjects();
        subjects.retain(|subject| subject.name == LOOP || only.has_device(&subject.name));
        Plan {
            rounds: self.rounds,
            queues: self.queues,
            subjects,
            jobs: only
                .rows()
                .map(|row| row.counted(self.ios, disks.disk_mib))
                .collect(),
            ..on_ram_disks(programs, disks)
        }
    }

    fn subjects(&self) -> Vec<Subject> {
        let mut subjects = vec![
            subject(RAW, Kind::Raw),
            subject(LOOP, plain_loop(false, "")),
            subject(LOOP_ZERO_COPY, plain_loop(true, "")),
            subject(AIM, Kind::Aim { lines: Vec::new() }),
        ];
        for line in &self.aim_line {
            let lines = vec![line.clone()];
            subjects.push(subject(&format!("{AIM}, {line}"), Kind::Aim { lines }));
        }
        for words in &self.loop_words {
            let name = format!("{LOOP}, {words}");
            subjects.push(subject(&name, plain_loop(false, words)));
        }
        subjects.push(subject(LOG_WRITES, Kind::LogWrites));
        subjects
    }
}

/// A plan of nothing yet.
fn on_ram_disks(programs: &Programs, disks: RamDisks) -> Plan {
    Plan {
        aim: programs.aim.clone(),
        plain_loop: programs.plain_loop.clone(),
        ram_disks: Some(disks),
        divided: None,
        disk: "/dev/ram0".into(),
        journal_disk: "/dev/ram1".into(),
        queues: 4,
        depth: 64,
        request_bytes: 128 << 10,
        rounds: 1,
        subjects: Vec::new(),
        jobs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plan() -> Plan {
        let disks = RamDisks {
            disk_mib: 1,
            journal_mib: 1,
        };
        on_ram_disks(&Programs::of_tests(), disks)
    }
}

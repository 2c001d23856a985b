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

mod jobs;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use aim_bench::{Kind, Plan, RamDisks, Subject};
use aim_vm::{Accel, Guest, Kernel};
use clap::Args;

use self::jobs::ROWS;
use self::report::Report;
use super::guest::{Programs, samples};
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
    /// Prints one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Measures everything. Where goals are missed the tables say so.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(options.kernel)?;
    step("building aim and the plain loop");
    let programs = Programs::build(options.aim.as_deref())?;
    let plan = options.plan(&programs);
    let guest = Guest::new(&image, programs.command(&plan)?)
        .accel(Accel::Icount)
        .processors(options.smp)
        .memory_mib(3072)
        .timeout(Duration::from_secs(options.timeout));
    step("measuring");
    let samples = samples(guest)?;
    let report = Report::new(&plan, samples);
    match options.json {
        true => println!("{}", report.to_json()?),
        false => print!("{report}"),
    }
    Ok(Outcome::Success)
}

impl Options {
    fn plan(&self, programs: &Programs) -> Plan {
        let names_job = |words: &String| ROWS.iter().any(|row| row.name.contains(words.as_str()));
        let (jobs, devices): (Vec<&String>, Vec<&String>) =
            self.only.iter().partition(|words| names_job(words));
        let wanted = |name: &str, among: &[&String]| {
            among.is_empty() || among.iter().any(|words| name.contains(words.as_str()))
        };
        let rows = ROWS.iter().filter(|row| wanted(row.name, &jobs));
        let mut subjects = self.subjects();
        subjects.retain(|subject| subject.name == LOOP || wanted(&subject.name, &devices));
        Plan {
            aim: programs.aim.clone(),
            plain_loop: programs.plain_loop.clone(),
            ram_disks: Some(RamDisks {
                disk_mib: 192,
                journal_mib: 1024,
            }),
            disk: "/dev/ram0".into(),
            journal_disk: "/dev/ram1".into(),
            queues: self.queues,
            depth: 64,
            request_bytes: 128 << 10,
            rounds: self.rounds,
            subjects,
            jobs: rows.map(|row| row.job(self.ios)).collect(),
        }
    }

    fn subjects(&self) -> Vec<Subject> {
        let subject = |name: &str, kind| Subject {
            name: name.to_owned(),
            kind,
        };
        let plain_loop = |zero_copy, words: &str| Kind::PlainLoop {
            zero_copy,
            words: words.split_whitespace().map(str::to_owned).collect(),
        };
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

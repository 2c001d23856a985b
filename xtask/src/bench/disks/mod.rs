//! `cargo xtask bench disks`: the jobs of `bench capture` by time, on disks.
//!
//! Coarse: an emulated guest on a shared machine. Devices have their turn one after the other, in the
//! opposite order every other round, and only factors of 1.5 say something.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use aim_bench::{Kind, Plan, Subject};
use aim_vm::{Accel, Disk, Guest, Kernel};
use clap::Args;

use self::report::Report;
use super::guest::{Programs, samples};
use super::jobs::Only;
use super::machine::Machine;
use crate::outcome::{Outcome, Result};
use crate::progress::step;
use crate::setup;

/// What everything is held against.
const RAW: &str = "disk";
const LOOP: &str = "ublk loop";
const AIM: &str = "aim";
const LOG_WRITES: &str = "dm-log-writes";
const DRBD: &str = "DRBD";

/// MiB of a disk of which the jobs use a part.
const DISK_MIB: u64 = 320;
/// MiB that they use.
const USED_MIB: u64 = 256;
/// MiB for journals and logs.
const JOURNAL_MIB: u64 = 3072;

/// What is measured, and how often.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds in which every device has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a job
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Only the jobs, or the devices, whose names hold this; may be given several times
    #[arg(long, value_name = "JOB|DEVICE")]
    only: Vec<String>,
    /// Only with journal and disk `apart`, or `together`
    #[arg(long)]
    place: Option<Place>,
    /// Kernel of the guest: 7.3 or 6.12
    #[arg(long, default_value = "7.3")]
    kernel: Kernel,
    /// What runs the guest: auto, kvm or tcg
    #[arg(long, default_value = "auto")]
    accel: Accel,
    /// Measures this aim in the place of the one that is built
    #[arg(long, value_name = "FILE")]
    aim: Option<PathBuf>,
    /// Seconds after which a guest is killed
    #[arg(long, default_value_t = 7200)]
    timeout: u64,
    /// Prints one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Place {
    /// On a disk of its own.
    Apart,
    /// On a second partition of the disk whose first one is mirrored.
    Together,
}

/// Measures everything. Where goals are missed the tables say so.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(options.kernel)?;
    step("building aim and the plain loop");
    let programs = Programs::build(options.aim.as_deref())?;
    let machine = Machine::here(Some(image.release()?));
    let mut report = Report::new(machine, options.rounds, options.seconds);
    for place in [Place::Apart, Place::Together] {
        if options.place.is_some_and(|only| only != place) {
            continue;
        }
        step(&format!("disk and journal {}", place.word()));
        let plan = options.plan(&programs, place);
        let mut guest = Guest::new(&image, programs.command(&plan)?)
            .accel(options.accel)
            .memory_mib(1536)
            .timeout(Duration::from_secs(options.timeout));
        for mib in place.disks() {
            guest = guest.disk(Disk::Scratch(mib << 20));
        }
        report.add(place, &plan, &samples(guest)?);
    }
    match options.json {
        true => println!("{}", report.to_json()?),
        false => print!("{report}"),
    }
    Ok(Outcome::Success)
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Together => "together",
        }
    }

    /// The guest's disks, MiB.
    fn disks(self) -> Vec<u64> {
        match self {
            Self::Apart => vec![DISK_MIB, JOURNAL_MIB],
            Self::Together => vec![DISK_MIB + JOURNAL_MIB],
        }
    }
}

impl Options {
    fn plan(&self, programs: &Programs, place: Place) -> Plan {
        let only = Only::new(&self.only);
        let plain_loop = Kind::PlainLoop {
            zero_copy: false,
            words: Vec::new(),
        };
        let subjects = [
            (RAW, Kind::Raw),
            (LOOP, plain_loop),
            (AIM, Kind::Aim { lines: Vec::new() }),
            (LOG_WRITES, Kind::LogWrites),
            (DRBD, Kind::Drbd),
        ];
        let wanted = subjects
            .into_iter()
            .filter(|(name, _)| *name == RAW || only.has_device(name));
        let (divided, [disk, journal_disk]) = match place {
            Place::Apart => (None, ["/dev/vda", "/dev/vdb"]),
            Place::Together => (
                Some(("/dev/vda".into(), DISK_MIB)),
                ["/dev/vda1", "/dev/vda2"],
            ),
        };
        Plan {
            aim: programs.aim.clone(),
            plain_loop: programs.plain_loop.clone(),
            ram_disks: None,
            divided,
            disk: disk.into(),
            journal_disk: journal_disk.into(),
            queues: 2,
            depth: 64,
            request_bytes: 128 << 10,
            rounds: self.rounds,
            subjects: wanted
                .map(|(name, kind)| Subject {
                    name: name.to_owned(),
                    kind,
                })
                .collect(),
            jobs: only
                .rows()
                .map(|row| row.timed(self.seconds, USED_MIB))
                .collect(),
        }
    }
}

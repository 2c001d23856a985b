//! `cargo xtask bench`: how fast it is, beside what else does the job. No test: nothing fails for
//! being slow. Only instructions are counted in a test run, by a small copy of `bench capture`.

mod apply;
mod capture;
mod comparison;
mod disks;
mod figure;
mod guest;
mod jobs;
mod machine;
mod ship;
mod size;

pub(crate) use self::capture::smoke as capture_smoke;
pub(crate) use self::guest::Programs;

use clap::{Args, Subcommand};

use crate::outcome::{Outcome, Result};

/// What is measured.
#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Applies sealed files to a file and to a disk, beside fio and replay-log
    Apply(apply::Options),
    /// Counts the instructions of reads and writes through aim, a plain ublk device, and others
    Capture(capture::Options),
    /// Measures by time, on disks, the same jobs also through DRBD
    Disks(disks::Options),
    /// Ships sealed files by aim and by the tools of OpenSSH, in turn, and compares
    Ship(ship::Options),
}

/// Measures it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    match &options.what {
        What::Apply(options) => apply::run(options),
        What::Capture(options) => capture::run(options),
        What::Disks(options) => disks::run(options),
        What::Ship(options) => ship::run(options),
    }
}

//! `cargo xtask bench`: how fast it is, beside what else does the job. No test: nothing fails for
//! being slow.

mod capture;
mod figure;
mod guest;
mod ship;

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
    /// Counts the instructions of reads and writes through aim, a plain ublk device, and others
    Capture(capture::Options),
    /// Ships sealed files by aim and by the tools of OpenSSH, in turn, and compares
    Ship(ship::Options),
}

/// Measures it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    match &options.what {
        What::Capture(options) => capture::run(options),
        What::Ship(options) => ship::run(options),
    }
}

//! `cargo xtask bench`: how fast it is, beside what else does the job. No test: nothing fails for
//! being slow.

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
    /// Ships sealed files by aim and by the tools of OpenSSH, in turn, and compares
    Ship(ship::Options),
}

/// Measures it.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    match &options.what {
        What::Ship(options) => ship::run(options),
    }
}

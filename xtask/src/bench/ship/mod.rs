//! `cargo xtask bench ship`: sealed files go to an OpenSSH server by aim and by OpenSSH's tools.
//!
//! ```text
//! one tool ──▶ (line) ──▶ listener ──▶ sshd -i ──▶ folder
//!   │ wait4                               │ wait4
//!   CPU of the client                     CPU of the server, sftp-server and the like included
//! ```
//!
//! In each round every tool has its turn, in the opposite order every other round. What is compared is
//! the two of one round, since other load on the machine comes and goes.

mod acceptor;
mod lines;
mod process;
mod proxy;
mod report;
mod scenario;
mod server;
mod site;
mod tool;

use std::path::PathBuf;

use clap::Args;

use self::report::Report;
use self::scenario::Scenario;
use self::site::{Programs, Site};
use super::size::size;
use crate::outcome::{Outcome, Result};
use crate::progress::detail;
use crate::{cargo, setup};

/// How much, how often, and where.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Bytes that each tool ships in each round: 1GiB, 64MiB
    #[arg(long, default_value = "1GiB", value_parser = size)]
    bytes: u64,
    /// Bytes over the narrow line; a quarter of --bytes if not given
    #[arg(long, value_parser = size)]
    narrow_bytes: Option<u64>,
    /// Bytes of a sealed file; what `seal_bytes` is by default
    #[arg(long, default_value = "16MiB", value_parser = size)]
    file_bytes: u64,
    /// Rounds in which every tool has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the lines whose names hold this: loopback, 50 ms, loss, 20 MB/s
    #[arg(long)]
    only: Option<String>,
    /// Folder for what is shipped and what arrives, three times --bytes; /dev/shm if there is one
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Prints one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Measures everything. Where goals are missed the tables say so.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let programs = Programs {
        sealer: cargo::build_example("aim-core", "sealed_files")?,
        shipper: cargo::build_example("aim-remote", "ship")?,
    };
    let site = Site::new(options.folder.as_deref(), programs, options.file_bytes)?;
    let narrow_bytes = options.narrow_bytes.unwrap_or(options.bytes / 4);
    let mut report = Report::new(options.rounds);
    for scenario in Scenario::all(options.bytes, narrow_bytes) {
        if let Some(only) = &options.only
            && !scenario.name.contains(only.as_str())
        {
            continue;
        }
        match scenario.run(&site, options.rounds)? {
            Ok(measured) => report.add(measured),
            Err(reason) => {
                detail(&format!("{}: not measured: {reason}", scenario.name));
                report.leave_out(scenario.name, &reason);
            }
        }
    }
    match options.json {
        true => println!("{}", report.to_json()?),
        false => print!("{report}"),
    }
    Ok(Outcome::Success)
}

//! `cargo xtask bench apply`: sealed files of equal writes are applied to a file, beside fio that does
//! the same writes in the same order.
//!
//! ```text
//! sealed files (page cache) ──▶ aim: intent, verified one ahead, applied, synced, cursor ──▶ file
//! places in a log           ──▶ fio, from a buffer in memory, fsync at the end           ──▶ file
//! ```
//!
//! And in a guest, to a virtio disk, beside replay-log, which does the writes that dm-log-writes has logged.
//!
//! In each round everybody has a turn, in the opposite order every other round. What is compared are
//! two of one round, since other load on the machine comes and goes.

mod guest;
mod replay_log;
mod report;
mod site;
mod turn;

use std::path::PathBuf;

use clap::Args;

use self::report::Report;
use self::site::Site;
use self::turn::{Load, Tool};
use super::size::size;
use crate::outcome::{Outcome, Result};
use crate::progress::{detail, step};
use crate::setup;

/// How much, how often, and where.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Bytes that are written in each turn, and of the file they are written to: 1GiB, 64MiB
    #[arg(long, default_value = "1GiB", value_parser = size)]
    bytes: u64,
    /// Rounds in which everybody has a turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the loads whose names hold this: 4k, 128k
    #[arg(long)]
    only: Option<String>,
    /// Bytes that are written in each turn in the guest; 0: it is left out
    #[arg(long, default_value = "128MiB", value_parser = guest_size)]
    guest_bytes: u64,
    /// Where git finds the source of replay-log
    #[arg(long, default_value = replay_log::SOURCE, value_name = "URL")]
    log_writes: String,
    /// Folder for the journals and the file, four times --bytes, on the disk that is measured
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Prints one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Measures everything. Where goals are missed the tables say so.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let mut report = Report::new(options.rounds)?;
    options.on_the_host(&mut report)?;
    if options.guest_bytes > 0 {
        options.in_a_guest(&mut report)?;
    }
    match options.json {
        true => println!("{}", report.to_json()?),
        false => print!("{report}"),
    }
    Ok(Outcome::Success)
}

impl Options {
    fn loads(&self) -> impl Iterator<Item = Load> {
        let only = self.only.as_deref().unwrap_or_default();
        let loads = Load::ALL.into_iter();
        loads.filter(move |load| load.name().contains(only))
    }

    fn on_the_host(&self, report: &mut Report) -> Result<()> {
        let site = Site::new(&self.folder, self.bytes)?;
        for load in self.loads() {
            let journal = site.seal(load)?;
            let verified = site.verify(&journal)?;
            let mut turns = Vec::new();
            for round in 1..=self.rounds {
                step(&format!(
                    "{}: round {round} of {}",
                    load.name(),
                    self.rounds
                ));
                let mut tools = Tool::ON_THE_HOST;
                if round % 2 == 0 {
                    tools.reverse();
                }
                for tool in tools {
                    let seconds = tool.run(&site, &journal)?;
                    detail(&format!("{}: {seconds:.2} s", tool.name()));
                    turns.push((tool, seconds));
                }
            }
            report.add(load, self.bytes, &turns, Some(&verified));
        }
        Ok(())
    }

    fn in_a_guest(&self, report: &mut Report) -> Result<()> {
        let replayer = match replay_log::build(&self.log_writes) {
            Ok(replayer) => replayer,
            Err(reason) => {
                detail(&format!("guest: not measured: {reason}"));
                report.leave_out_guest(reason.to_string());
                return Ok(());
            }
        };
        let site = Site::new(&self.folder, self.guest_bytes)?;
        let journals = self.loads().map(|load| Ok((load, site.seal(load)?)));
        let journals = journals.collect::<Result<Vec<_>>>()?;
        match guest::measure(&site, &journals, self.rounds, &replayer) {
            Ok(measured) => {
                for (load, turns) in measured {
                    report.add(load, self.guest_bytes, &turns, None);
                }
            }
            // what was measured on the host is said all the same
            Err(reason) => report.leave_out_guest(reason.to_string()),
        }
        Ok(())
    }
}

/// A size, or nothing.
fn guest_size(text: &str) -> std::result::Result<u64, String> {
    match text {
        "0" => Ok(0),
        text => size(text),
    }
}

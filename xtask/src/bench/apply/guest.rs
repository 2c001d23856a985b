//! In a guest, to a virtio disk: beside dm-log-writes' replay-log, which does the writes of a log.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aim_vm::{Disk, Exit, Guest, Kernel};

use super::site::{Journal, Site};
use super::turn::{Load, Tool, Turn};
use crate::outcome::Result;
use crate::progress::detail;
use crate::setup;

const SCRIPT: &str = include_str!("guest.sh");

/// Measures loads; gives each with who took how many seconds, in the order of the rounds.
pub(super) fn measure(
    site: &Site,
    journals: &[(Load, Journal)],
    rounds: usize,
    replayer: &Path,
) -> Result<Vec<(Load, Vec<Turn>)>> {
    let image = setup::kernel(Kernel::New)?;
    let mut command: Vec<String> = ["sh", "-c", SCRIPT, "guest.sh"].map(str::to_owned).into();
    command.push(site.applier().display().to_string());
    command.push(replayer.display().to_string());
    command.push(rounds.to_string());
    for (load, journal) in journals {
        command.push(load.name().to_owned());
        command.push(journal.folder.display().to_string());
        command.push(journal.log.display().to_string());
    }
    let said = Said::default();
    let guest = Guest::new(&image, command)
        .memory_mib(2048)
        .timeout(Duration::from_secs(1800))
        .disk(Disk::Scratch(site.bytes()))
        // a log entry takes a sector more, and a superblock
        .disk(Disk::Scratch(2 * site.bytes()))
        .disk(Disk::Scratch(2 * site.bytes()));
    match guest.spawn(said.clone(), io::stderr())?.wait()? {
        Exit::Status(0) => {}
        exit => return Err(format!("the guest has failed: {exit:?}").into()),
    }
    let said = said.0.lock().unwrap_or_else(PoisonError::into_inner);
    let said = String::from_utf8_lossy(&said);
    let turns = |load: Load| {
        let turns = said.lines().filter_map(|line| turn(line, load));
        turns.collect::<Result<Vec<_>>>()
    };
    journals
        .iter()
        .map(|(load, _)| Ok((*load, turns(*load)?)))
        .collect()
}

/// A line of the script that concerns this load.
fn turn(line: &str, load: Load) -> Option<Result<Turn>> {
    let mut words = line.strip_prefix("turn,")?.split(',');
    let (name, tool, nanos) = (words.next()?, words.next()?, words.next()?);
    let tool = [Tool::Aim, Tool::ReplayLog]
        .into_iter()
        .find(|known| known.name() == tool)?;
    if name != load.name() {
        return None;
    }
    let nanos = nanos.parse::<f64>();
    let seconds = nanos.map(|nanos| nanos / 1e9);
    if let Ok(seconds) = seconds {
        detail(&format!("guest, {name}: {}: {seconds:.2} s", tool.name()));
    }
    Some(seconds.map(|seconds| (tool, seconds)).map_err(Into::into))
}

/// What the guest says on stdout.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Applies the sealed files of a journal folder to a file or block device as an applier does, with a
//! cursor of its own: something to measure.
//!
//! ```text
//! apply_files JOURNAL DEVICE STATE     applies; STATE is an empty folder for the cursor
//! apply_files JOURNAL                  parses and verifies only, each file in memory, three times;
//!                                      beside it copies and hashes the same bytes
//! ```
//!
//! One line of JSON says how long it took. Nothing is counted before the files are opened.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_core::cursor::MirrorCursorFile;
use aim_core::device::FileDevice;
use aim_core::format::checksum::payload_checksum;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::{FileMemory, FileName, ParsedFile};
use aim_core::replay::{Replay, ReplayError};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match &arguments[..] {
        [journal, device, state] => apply(journal, device, state),
        [journal] => verify(journal),
        _ => Err("say JOURNAL [DEVICE STATE]".into()),
    }
}

fn apply(journal: &Path, device: &Path, state: &Path) -> Result<()> {
    let folder = HostDirectory::open(journal.join("outgoing"))?;
    let names = names(&*folder)?;
    let first = names.first().ok_or("there is no file")?;
    let volume = open(&*folder, first)?.header().volume.clone();
    let device = Arc::new(FileDevice::open_exclusive(device)?);
    let started = Instant::now();
    let cursor = Arc::new(MirrorCursorFile::open(
        HostDirectory::open(state)?,
        volume.id,
    )?);
    let mut replay = Replay::new(volume, vec![device], cursor)?;
    let (mut bytes, mut runs) = (0, 0);
    let mut rest = names.iter().peekable();
    while rest.peek().is_some() {
        let mut run = replay.start_run();
        while run.may_grow()
            && let Some(name) = rest.next()
        {
            replay.extend_run(&mut run, &open(&*folder, name)?)?;
        }
        let summary = replay.apply_files(&run, &mut |number| {
            let name = names.iter().find(|name| name.number == number);
            let name = name.ok_or(ReplayError::Stopped)?;
            let opened = open(&*folder, name);
            opened.map_err(|_| ReplayError::Stopped)
        })?;
        bytes += summary.bytes_written;
        runs += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"seconds\":{seconds},\"bytes\":{bytes},\"runs\":{runs}}}");
    Ok(())
}

/// The best of three of each.
fn verify(journal: &Path) -> Result<()> {
    let folder = HostDirectory::open(journal.join("outgoing"))?;
    let names = names(&*folder)?;
    let mut best = [Duration::MAX; 3];
    let mut bytes = 0;
    for _ in 0..3 {
        let (mut spent, mut copy) = ([Duration::ZERO; 3], Vec::new());
        let mut memory = FileMemory::default();
        bytes = 0;
        for name in &names {
            // what it costs to read it is none of these
            let loaded = open(&*folder, name)?.load(memory)?;
            let started = Instant::now();
            let verified = loaded.verify()?;
            spent[0] += started.elapsed();
            let content = verified.bytes_in_memory().ok_or("a file is too long")?;
            copy.resize(content.len().max(copy.len()), 0);
            let started = Instant::now();
            copy[..content.len()].copy_from_slice(content);
            spent[1] += started.elapsed();
            let started = Instant::now();
            std::hint::black_box(payload_checksum(content));
            spent[2] += started.elapsed();
            bytes += content.len();
            memory = verified.into_memory();
        }
        for (best, spent) in best.iter_mut().zip(spent) {
            *best = spent.min(*best);
        }
    }
    let [verify, copy, hash] = best.map(|time| time.as_secs_f64());
    println!(
        "{{\"bytes\":{bytes},\"verify_seconds\":{verify},\"copy_seconds\":{copy},\"hash_seconds\":{hash}}}"
    );
    Ok(())
}

fn names(folder: &dyn Directory) -> Result<Vec<FileName>> {
    let mut names: Vec<FileName> = Vec::new();
    for name in folder.list()? {
        names.push(name.parse()?);
    }
    names.sort_unstable();
    Ok(names)
}

fn open(folder: &dyn Directory, name: &FileName) -> Result<ParsedFile> {
    Ok(ParsedFile::open(folder.open(&name.sealed(), false)?)?)
}

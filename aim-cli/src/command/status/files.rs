//! What the files tell while no daemon runs.

use std::path::Path;

use aim_core::cursor::{MirrorCursor, Position, SealedCursor};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::{MirrorIdentity, VolumeIdentity};
use aim_core::replay::Differences;
use aim_core::state_file::StateFile;
use aim_core::units::VolumeId;

use crate::config::{Config, MirrorConfig, Target, VolumeConfig};
use crate::daemon::{MirrorReport, Report, VolumeReport, difference_message};
use crate::failure::Outcome;
use crate::state;

/// A report of everything in the configuration; no state is better than `stopped`.
pub(super) fn report(config: &Config) -> Report {
    Report {
        volumes: config.volumes.values().map(volume).collect(),
        mirrors: config.mirrors.values().map(mirror).collect(),
        ..Report::default()
    }
}

fn volume(config: &VolumeConfig) -> VolumeReport {
    let mut report = VolumeReport {
        name: config.name.clone(),
        ..VolumeReport::default()
    };
    report.last_error = read_volume(config, &mut report).err();
    report
}

fn read_volume(config: &VolumeConfig, report: &mut VolumeReport) -> Result<(), String> {
    let journal = open(&config.journal)?;
    identity::<VolumeIdentity>(&*journal, &config.name)?;
    let sealed = plain(state::load::<SealedCursor>(&*journal))?;
    report.sealed_lsn = Some(sealed.map_or(0, |cursor| cursor.sealed.lsn.get()));
    report.waiting_bytes = Some(bytes_in(&config.journal.join("outgoing")));
    if let Target::Directory(path) = &config.target {
        let cursor = plain(state::load::<MirrorCursor>(&*open(path)?))?;
        report.received_lsn = Some(cursor.map_or(0, |cursor| cursor.received.lsn.get()));
        report.applied_lsn = Some(cursor.map_or(0, |cursor| cursor.applied.lsn.get()));
    }
    Ok(())
}

fn mirror(config: &MirrorConfig) -> MirrorReport {
    let mut report = MirrorReport {
        name: config.name.clone(),
        device: config.device.display().to_string(),
        directory: config.directory.display().to_string(),
        ..MirrorReport::default()
    };
    report.last_error = read_mirror(config, &mut report).err();
    report
}

fn read_mirror(config: &MirrorConfig, report: &mut MirrorReport) -> Result<(), String> {
    let directory = open(&config.directory)?;
    identity::<MirrorIdentity>(&*directory, &config.name)?;
    let cursor = plain(state::load::<MirrorCursor>(&*directory))?;
    report.received_lsn = Some(cursor.map_or(0, |cursor| cursor.received.lsn.get()));
    report.applied_lsn = Some(cursor.map_or(0, |cursor| cursor.applied.lsn.get()));
    report.waiting_bytes = Some(bytes_in(&config.directory.join("incoming")));
    report.settled = Some(cursor.is_none_or(|cursor| cursor.is_settled()));
    let received = cursor.map(|cursor| cursor.received);
    report.open_group_lsn = received
        .filter(Position::is_in_group)
        .map(|received| received.open_group.get());
    let found = plain(state::load::<Differences>(&*directory))?;
    let found = found.unwrap_or_else(|| Differences::new(VolumeId::default()));
    report.different_bytes = Some(found.bytes().get());
    match cursor {
        Some(cursor) if !cursor.is_settled() => Err(format!(
            "an apply was interrupted: the disk is whole again only after `aim run` (it may have been touched up to LSN {})",
            cursor.intent.lsn
        )),
        _ => difference_message(&found).map_or(Ok(()), Err),
    }
}

fn identity<T: StateFile>(directory: &dyn Directory, name: &str) -> Result<(), String> {
    match plain(state::load::<T>(directory))? {
        Some(_) => Ok(()),
        None => Err(format!("not initialized: run `aim init {name}`")),
    }
}

fn open(path: &Path) -> Result<std::sync::Arc<dyn Directory>, String> {
    match HostDirectory::open(path) {
        Ok(directory) => Ok(directory),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The failure as one line.
fn plain<T>(outcome: Outcome<T>) -> Result<T, String> {
    outcome.map_err(|failure| {
        let problem = failure.problems.into_iter().next().unwrap_or_default();
        let causes = problem.causes.join(": ");
        format!("{}: {causes}", problem.place.unwrap_or(problem.what))
    })
}

/// Bytes of all sealed files in a folder; 0 if it is not there.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "aim"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|facts| facts.len())
        .sum()
}

//! What the files tell while no daemon runs.

use std::path::Path;

use aim_core::capture::ExtentMap;
use aim_core::cursor::{
    MirrorCursor, Position, RelayCursor, SealedCursor, TargetRecord, TargetsCursor,
};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::{FollowerIdentity, MirrorIdentity, VolumeIdentity};
use aim_core::journal::FileName;
use aim_core::replay::Differences;
use aim_core::state_file::StateFile;
use aim_core::units::VolumeId;

use crate::config::{Config, MirrorConfig, Target, TargetConfig, VolumeConfig};
use crate::daemon::{
    MirrorReport, Report, ResyncReport, TargetReport, TargetStanding, VolumeReport,
    difference_message,
};
use crate::failure::{Outcome, one_line};
use crate::{state, state_folder};

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
    let volume = identity::<VolumeIdentity>(&*journal, &config.name)?;
    let sealed = plain(state::load::<SealedCursor>(&*journal))?;
    report.sealed_lsn = Some(sealed.map_or(0, |cursor| cursor.sealed.lsn.get()));
    let (files, bytes) = waiting_in(&config.journal.join("outgoing"));
    (report.waiting_files, report.waiting_bytes) = (Some(files), Some(bytes));
    report.targets = read_targets(&config.targets, &*journal)?;
    let all = |of: fn(&TargetReport) -> Option<u64>| {
        let all: Option<Vec<u64>> = report.targets.iter().map(of).collect();
        all.unwrap_or_default()
    };
    let (received, applied) = (
        all(|target| target.received_lsn),
        all(|target| target.applied_lsn),
    );
    let different = all(|target| target.different_bytes);
    report.received_lsn = received.into_iter().min();
    report.applied_lsn = applied.into_iter().min();
    report.different_bytes = different.into_iter().reduce(|sum, bytes| sum + bytes);
    if let Some(error) = report
        .targets
        .iter()
        .find_map(|target| target.last_error.clone())
    {
        return Err(error);
    }
    read_map(config, &*journal, &volume, report)
}

/// What was noted of targets in the folder of a volume or a mirror.
fn read_targets(
    configs: &[TargetConfig],
    folder: &dyn Directory,
) -> Result<Vec<TargetReport>, String> {
    let noted = plain(state::load::<TargetsCursor>(folder))?;
    let noted = noted.map(|noted| noted.targets).unwrap_or_default();
    let record = |name: &str| noted.iter().find(|record| record.name == name);
    let reports = configs
        .iter()
        .map(|target| read_target(target, record(&target.name)));
    Ok(reports.collect())
}

/// What was noted of a target, and what its directory says, if that is on this host.
fn read_target(config: &TargetConfig, record: Option<&TargetRecord>) -> TargetReport {
    let mut report = TargetReport {
        name: config.name.clone(),
        place: config.target.to_string(),
        standing: record.map_or(TargetStanding::New, |record| record.standing.into()),
        ..TargetReport::default()
    };
    if let Target::Directory(path) = &config.target {
        report.last_error = read_far(path, &mut report).err();
    }
    report
}

fn read_far(path: &Path, report: &mut TargetReport) -> Result<(), String> {
    let far = open(path)?;
    let cursor = plain(state::load::<MirrorCursor>(&*far))?;
    let found = plain(state::load::<Differences>(&*far))?;
    report.different_bytes = Some(found.map_or(0, |found| found.bytes().get()));
    report.received_lsn = Some(cursor.map_or(0, |cursor| cursor.received.lsn.get()));
    report.applied_lsn = Some(cursor.map_or(0, |cursor| cursor.applied.lsn.get()));
    Ok(())
}

/// What will have to be copied by the next start.
fn read_map(
    config: &VolumeConfig,
    journal: &dyn Directory,
    volume: &VolumeIdentity,
    report: &mut VolumeReport,
) -> Result<(), String> {
    let folder = plain(state_folder::open(config, journal))?;
    let facts = ExtentMap::facts(&*folder, volume).map_err(|error| one_line(&error))?;
    report.hot_bytes = Some(facts.hot.get());
    if facts.needed.get() > 0 {
        report.resync = Some(ResyncReport {
            needed_bytes: facts.needed.get(),
            total_bytes: facts.needed.get(),
            ..ResyncReport::default()
        });
    }
    match facts.is_tracking {
        true => Err(
            "stopped in passthrough: what was changed then is copied after the next start"
                .to_owned(),
        ),
        false => Ok(()),
    }
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
    let (files, bytes) = waiting_in(&config.directory.join("incoming"));
    (report.waiting_files, report.waiting_bytes) = (Some(files), Some(bytes));
    report.settled = Some(cursor.is_none_or(|cursor| cursor.is_settled()));
    let received = cursor.map(|cursor| cursor.received);
    report.open_group_lsn = received
        .filter(Position::is_in_group)
        .map(|received| received.open_group.get());
    let follower = plain(state::load::<FollowerIdentity>(&*directory))?;
    report.waits_for_baseline =
        follower.is_some() && received.is_none_or(|received| received.is_start());
    let relay = plain(state::load::<RelayCursor>(&*directory))?;
    let wanted = relay.map(|relay| relay.wanted.get());
    report.baseline_wanted_lsn = wanted.filter(|from| *from > 0);
    report.targets = read_targets(&config.targets, &*directory)?;
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

fn identity<T: StateFile>(directory: &dyn Directory, name: &str) -> Result<T, String> {
    match plain(state::load::<T>(directory))? {
        Some(identity) => Ok(identity),
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
    outcome.map_err(|failure| failure.brief())
}

/// How many sealed files are in a folder, each in one form, and their bytes; none if it is not there.
fn waiting_in(folder: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let text = entry.file_name().into_string().ok()?;
        let plain = FileName::parse_sealed(&text).map(|name| (name, false));
        let known = plain.or_else(|_| FileName::parse_packed(&text).map(|name| (name, true)));
        Some((known.ok()?, entry.metadata().ok()?.len()))
    });
    let mut files: Vec<_> = files.collect();
    files.sort_unstable();
    files.dedup_by_key(|((name, _), _)| *name);
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    (files.len() as u64, bytes)
}

//! `aim journal export`: what there is of a series, into a directory that travels.

use std::collections::BTreeSet;
use std::sync::Arc;

use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, SourceSpool, SpoolError};
use aim_core::state_file::StateFile;
use aim_core::units::FileNumber;
use serde::Serialize;

use super::carry::{Carried, Carrier, length};
use super::form::Formed;
use super::missing::Missing;
use crate::args::{JournalExportArgs, Output};
use crate::config::{self, Entry, Size};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::{output, progress, state};

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Done {
    name: String,
    directory: String,
    /// Files that were copied, and their bytes.
    files: u64,
    bytes: u64,
    /// Files that were there before.
    already_there: u64,
    /// Files that the series no longer has and the directory does not have either.
    missing: Vec<Missing>,
    /// Files that are no good where they lie.
    damaged: Vec<Damaged>,
}

#[derive(Debug, Serialize)]
struct Damaged {
    file: String,
    error: String,
}

/// Runs the command. What it copies from is left as it is.
pub(super) fn export(args: &JournalExportArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let series = Series::of(config.entry(&args.name)?)?;
    let carrier = Carrier::to(&args.directory)?;
    bring_identity(&carrier, &series.identity)?;
    let from = args.from.unwrap_or(1);
    let mut done = Done {
        name: args.name.clone(),
        directory: args.directory.display().to_string(),
        ..Done::default()
    };
    let files: Vec<Formed> = series.list()?;
    let files = files.iter().filter(|file| file.name.number.get() >= from);
    let folder = &*series.folder;
    let bar = progress::files(out, files.clone().map(|file| length(folder, file)).sum());
    for file in files {
        bar.set_message(format!("file {}", file.name.number));
        match carrier.carry(folder, file, &bar)? {
            Carried::Copied(bytes) => {
                done.files += 1;
                done.bytes += bytes;
            }
            Carried::AlreadyThere => done.already_there += 1,
            // received meanwhile, by all targets: it shows in what is missing
            Carried::Gone => {}
            Carried::Refused(error) => done.damaged.push(Damaged {
                file: folder.path().join(file.text()).display().to_string(),
                error,
            }),
        }
    }
    carrier.sync()?;
    bar.finish_and_clear();
    let there = numbers(&**carrier.folder(), &series.identity)?;
    let last = there.last().copied().max(Some(series.last.get()));
    done.missing = Missing::among(from..=last.unwrap_or(0), &there);
    match out.json {
        true => output::json(&done)?,
        false => print(&done)?,
    }
    // that the oldest ones are gone is the rule, unless they were asked for
    let is_gap = |missing: &Missing| args.from.is_some() || missing.first > 1;
    Ok(if !done.damaged.is_empty() {
        Exit::Mismatch
    } else if done.missing.iter().any(is_gap) {
        Exit::Gap
    } else {
        Exit::Success
    })
}

fn print(done: &Done) -> Outcome<()> {
    output::line(format!(
        "{}: {} files ({}) copied to {}, {} were there already",
        done.name,
        done.files,
        Size(done.bytes),
        done.directory,
        done.already_there
    ))?;
    if !done.missing.is_empty() {
        let missing = Missing::listed(&done.missing);
        output::line(format!("the series no longer has: files {missing}"))?;
    }
    for damaged in &done.damaged {
        output::line(format!(
            "DAMAGED, not copied: {}: {}",
            damaged.file, damaged.error
        ))?;
    }
    Ok(())
}

/// Where a series is, or what is left of it.
struct Series {
    identity: VolumeIdentity,
    folder: Arc<dyn Directory>,
    /// The last file that ever was here.
    last: FileNumber,
}

impl Series {
    fn of(entry: Entry<'_>) -> Outcome<Self> {
        let (path, is_volume) = match entry {
            Entry::Volume(volume) => (&volume.journal, true),
            Entry::Mirror(mirror) => (&mirror.directory, false),
        };
        let root = HostDirectory::open(path).map_err(|error| {
            Problem::new("can't open the directory of the volume")
                .at(path.display())
                .hint("run `aim init NAME` first")
                .io(&error)
        })?;
        match is_volume {
            true => Self::of_source(root),
            false => Self::of_mirror(root),
        }
        .map_err(|error| state::spool_failed(&error))
    }

    fn of_source(root: Arc<dyn Directory>) -> Result<Self, SpoolError> {
        let spool = SourceSpool::open(root)?;
        Ok(Self {
            last: spool.sealed()?.file,
            folder: spool.outgoing_folder().clone(),
            identity: spool.identity().clone(),
        })
    }

    fn of_mirror(root: Arc<dyn Directory>) -> Result<Self, SpoolError> {
        let spool = MirrorSpool::open(root)?;
        Ok(Self {
            last: spool.cursor()?.get().received.file,
            folder: spool.incoming_folder().clone(),
            identity: spool.identity().clone(),
        })
    }

    fn list(&self) -> Outcome<Vec<Formed>> {
        let mut files = list(&*self.folder)?;
        files.retain(|file| is_of(file, &self.identity));
        Ok(files)
    }
}

/// Numbers of the files of a volume, in its epoch, in a folder.
pub(super) fn numbers(folder: &dyn Directory, identity: &VolumeIdentity) -> Outcome<BTreeSet<u64>> {
    let files = list(folder)?.into_iter();
    Ok(files
        .filter(|file| is_of(file, identity))
        .map(|file| file.name.number.get())
        .collect())
}

fn is_of(file: &Formed, identity: &VolumeIdentity) -> bool {
    (file.name.volume, file.name.epoch) == (identity.id, identity.epoch)
}

/// The sealed files of a folder.
pub(super) fn list(folder: &dyn Directory) -> Outcome<Vec<Formed>> {
    Formed::list(folder).map_err(|error| {
        Problem::new("can't list")
            .at(folder.path().display())
            .io(&error)
    })
}

/// Says in the directory whose files are there. Those of two volumes are kept apart.
fn bring_identity(carrier: &Carrier, identity: &VolumeIdentity) -> Outcome<()> {
    let folder = &**carrier.folder();
    let known = VolumeIdentity::load(folder).map_err(|error| carrier.unusable(&error))?;
    match known {
        Some(known) if known == *identity => Ok(()),
        Some(other) => Err(other_volume(folder, &other, identity)),
        None => identity
            .store(folder)
            .map_err(|error| carrier.unusable(&error)),
    }
}

/// A directory with files of another volume.
pub(super) fn other_volume(
    folder: &dyn Directory,
    found: &VolumeIdentity,
    expected: &VolumeIdentity,
) -> Failure {
    let what = format!(
        "the directory belongs to volume {}, not to {}",
        found.id, expected.id
    );
    Problem::new(what)
        .at(folder.path().display())
        .hint("give each volume a directory of its own")
        .exit(Exit::Gap)
}

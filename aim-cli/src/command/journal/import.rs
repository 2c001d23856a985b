//! `aim journal import`: files that somebody brought, into a mirror's `incoming/`.
//!
//! It does what any mover may do, and knows more: which files the mirror needs. A running
//! `aim run` takes up each as it gets its name; without one they wait.

use std::path::Path;
use std::sync::Arc;

use aim_core::cursor::MirrorCursor;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::check_volume;
use aim_core::spool::MirrorSpool;
use serde::Serialize;

use super::carry::{Carried, Carrier, length};
use super::export::{list, numbers, other_volume};
use super::form::{self, Formed};
use super::missing::Missing;
use crate::args::{JournalImportArgs, Output};
use crate::config::{self, Entry, MirrorConfig, Size};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem, one_line};
use crate::{output, progress, state};

/// Folders of a directory that hold files which travel: of a journal, or of a target.
const FOLDERS: [&str; 2] = ["outgoing", "incoming"];

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Done {
    name: String,
    /// Files that were copied, and their bytes.
    files: u64,
    bytes: u64,
    /// Files that lay in `incoming/` before.
    already_there: u64,
    /// Files that the mirror has applied.
    already_applied: u64,
    /// Files that are no good, or of another volume.
    refused: Vec<Refused>,
    /// Files that the mirror lacks, before the last one that it has now.
    missing: Vec<Missing>,
    /// A file behind missing ones that begins with a baseline: the mirror goes on there.
    baseline_file: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Refused {
    file: String,
    error: String,
    is_foreign: bool,
}

/// Runs the command. What it copies from is left as it is.
pub(super) fn import(args: &JournalImportArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let spool = open_mirror(config.entry(&args.name)?)?;
    let found = find(&args.directory, spool.identity())?;
    let carrier = Carrier::to(&spool.incoming_folder().path())?;
    let mut done = Done {
        name: args.name.clone(),
        ..Done::default()
    };
    let total = found.iter().map(|(folder, file)| length(&**folder, file));
    let bar = progress::files(out, total.sum());
    for (folder, file) in &found {
        bar.set_message(format!("file {}", file.name.number));
        let folder = &**folder;
        if let Some(refused) = is_foreign(folder, file, &spool) {
            done.refused.push(refused);
            continue;
        }
        let applied = cursor(&spool)?.applied.file;
        if file.name.number <= applied {
            done.already_applied += 1;
            bar.inc(length(folder, file));
            continue;
        }
        match carrier.carry(folder, file, &bar)? {
            Carried::Copied(bytes) => {
                done.files += 1;
                done.bytes += bytes;
            }
            Carried::AlreadyThere => done.already_there += 1,
            Carried::Gone => {}
            Carried::Refused(error) => done.refused.push(refused(folder, file, error, false)),
        }
    }
    carrier.sync()?;
    bar.finish_and_clear();
    look_for_gaps(&mut done, &spool)?;
    match out.json {
        true => output::json(&done)?,
        false => print(&done)?,
    }
    let is_damaged = done.refused.iter().any(|refused| !refused.is_foreign);
    let is_gap = !done.missing.is_empty() && done.baseline_file.is_none();
    Ok(match (is_damaged, is_gap || !done.refused.is_empty()) {
        (true, _) => Exit::Mismatch,
        (false, true) => Exit::Gap,
        (false, false) => Exit::Success,
    })
}

fn print(done: &Done) -> Outcome<()> {
    output::line(format!(
        "{}: {} files ({}) brought in, {} were there already, {} are applied already",
        done.name,
        done.files,
        Size(done.bytes),
        done.already_there,
        done.already_applied
    ))?;
    for refused in &done.refused {
        output::line(format!("REFUSED: {}: {}", refused.file, refused.error))?;
    }
    if !done.missing.is_empty() {
        let missing = Missing::listed(&done.missing);
        output::line(match done.baseline_file {
            None => format!("the mirror waits for: files {missing}"),
            Some(base) => format!(
                "missing: files {missing}; the mirror goes on at the baseline in file {base}"
            ),
        })?;
    }
    Ok(())
}

fn open_mirror(entry: Entry<'_>) -> Outcome<MirrorSpool> {
    let mirror: &MirrorConfig = match entry {
        Entry::Mirror(mirror) => mirror,
        Entry::Volume(volume) => {
            return Err(Problem::new(format!("`{}` is a volume", volume.name))
                .at(format!("[volume.{}]", volume.name))
                .hint("files are brought to a mirror, on the mirror host")
                .exit(Exit::Usage));
        }
    };
    let root = HostDirectory::open(&mirror.directory).map_err(|error| {
        Problem::new("can't open the mirror's directory")
            .at(mirror.directory.display())
            .hint("make it, copy volume.id there, and run `aim init`")
            .io(&error)
    })?;
    MirrorSpool::open(root).map_err(|error| state::spool_failed(&error))
}

/// The files of a directory, and of the folders in it that hold such, in series order.
fn find(directory: &Path, identity: &VolumeIdentity) -> Outcome<Vec<(Arc<dyn Directory>, Formed)>> {
    let root: Arc<dyn Directory> = HostDirectory::open(directory).map_err(|error| {
        Problem::new("can't open the directory")
            .at(directory.display())
            .io(&error)
    })?;
    let known = state::load::<VolumeIdentity>(&*root)?;
    if let Some(known) = known
        && known.id != identity.id
    {
        return Err(other_volume(&*root, &known, identity));
    }
    let mut found = Vec::new();
    let folders = FOLDERS.iter().filter_map(|name| {
        let opened = HostDirectory::open(directory.join(name)).ok()?;
        Some(opened as Arc<dyn Directory>)
    });
    for folder in std::iter::once(root.clone()).chain(folders) {
        let files = list(&*folder)?.into_iter();
        found.extend(files.map(|file| (folder.clone(), file)));
    }
    found.sort_by_key(|(_, file)| *file);
    Ok(found)
}

/// What speaks against a file, if it is of another volume, epoch or disk.
fn is_foreign(folder: &dyn Directory, file: &Formed, spool: &MirrorSpool) -> Option<Refused> {
    let (name, identity) = (file.name, spool.identity());
    let why = if name.volume != identity.id {
        format!("it is of volume {}, not of {}", name.volume, identity.id)
    } else if name.epoch != identity.epoch {
        format!("it is of epoch {}, not of {}", name.epoch, identity.epoch)
    } else {
        // what can't be read is found by who copies it
        let parsed = form::parse(folder, file).ok()?;
        one_line(&check_volume(identity, parsed.header()).err()?)
    };
    Some(refused(folder, file, why, true))
}

fn refused(folder: &dyn Directory, file: &Formed, error: String, is_foreign: bool) -> Refused {
    Refused {
        file: folder.path().join(file.text()).display().to_string(),
        error,
        is_foreign,
    }
}

/// Which files the mirror lacks, of those up to the last one that it has.
fn look_for_gaps(done: &mut Done, spool: &MirrorSpool) -> Outcome<()> {
    let folder = &**spool.incoming_folder();
    // in this order: a file that goes in between is received
    let there = numbers(folder, spool.identity())?;
    let received = cursor(spool)?.received.file.get();
    let Some(last) = there.last() else {
        return Ok(());
    };
    done.missing = Missing::among(received + 1..=*last, &there);
    if let Some(gap) = done.missing.first() {
        let begins_baseline = |file: &Formed| {
            let parsed = form::parse(folder, file);
            parsed.is_ok_and(|parsed| parsed.header().begins_baseline())
        };
        let mut behind = list(folder)?.into_iter().filter(|file| {
            let is_ours = file.name.volume == spool.identity().id;
            is_ours && file.name.number.get() > gap.last
        });
        let base = behind.find(begins_baseline);
        done.baseline_file = base.map(|file| file.name.number.get());
    }
    Ok(())
}

fn cursor(spool: &MirrorSpool) -> Outcome<MirrorCursor> {
    let opened = spool.cursor().map_err(|error| state::spool_failed(&error));
    opened.map(|cursor| cursor.get())
}

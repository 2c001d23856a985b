//! What both sides do in the folder of a volume.

use std::io;
use std::sync::Arc;

use super::{Names, SpoolError};
use crate::cursor::Position;
use crate::failpoint::{Failpoint, reach};
use crate::fs::Directory;
use crate::journal::FileName;
use crate::state_file::StateFile;
use crate::units::VolumeId;

/// Reads a state file that may be missing.
pub(super) fn load_optional<S: StateFile>(folder: &dyn Directory) -> Result<Option<S>, SpoolError> {
    S::load(folder).map_err(|source| SpoolError::State {
        folder: folder.path(),
        source,
    })
}

/// Reads a state file that every initialized folder has.
pub(super) fn load_required<S: StateFile>(folder: &dyn Directory) -> Result<S, SpoolError> {
    let loaded = load_optional(folder)?;
    loaded.ok_or_else(|| SpoolError::NotInitialized {
        folder: folder.path(),
        name: S::NAME,
    })
}

/// Replaces a state file.
pub(super) fn store<S: StateFile>(folder: &dyn Directory, value: &S) -> Result<(), SpoolError> {
    let stored = value.store(folder);
    stored.map_err(|source| SpoolError::State {
        folder: folder.path(),
        source,
    })
}

/// Refuses a folder that has a state file of this kind, also a damaged one.
pub(super) fn require_absent<S: StateFile>(folder: &dyn Directory) -> Result<(), SpoolError> {
    let names = folder.list().map_err(SpoolError::io(folder.path()))?;
    match names.iter().any(|name| name == S::NAME) {
        true => Err(SpoolError::AlreadyInitialized {
            folder: folder.path(),
            name: S::NAME,
        }),
        false => Ok(()),
    }
}

/// Opens a folder in the folder of a volume, creating it if it is missing.
pub(super) fn subfolder(
    root: &Arc<dyn Directory>,
    name: &str,
) -> Result<Arc<dyn Directory>, SpoolError> {
    let opened = root.subdirectory(name);
    opened.map_err(SpoolError::io(root.path().join(name)))
}

/// Removes the sealed files of a volume, in the position's epoch, up to and with the position's,
/// in whichever form. Returns how many there were.
///
/// Not durable: what comes back in a crash is removed another time.
pub(super) fn remove_up_to(
    folder: &dyn Directory,
    volume: VolumeId,
    position: Position,
) -> Result<u64, SpoolError> {
    let names = Names::read(folder)?;
    let is_past = |name: &FileName| {
        let ours = name.volume == volume && name.epoch == position.epoch;
        ours && name.number <= position.file
    };
    let sealed = names.files.iter().filter(|name| is_past(name));
    let packed = names.packed.iter().filter(|name| is_past(name));
    let past = sealed
        .map(FileName::sealed)
        .chain(packed.map(FileName::packed));
    remove(folder, past)
}

/// Removes files, as far as they are there. Returns how many were.
///
/// Not durable.
pub(super) fn remove(
    folder: &dyn Directory,
    names: impl Iterator<Item = String>,
) -> Result<u64, SpoolError> {
    let mut removed = 0;
    for text in names {
        match folder.remove(&text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            done => done.and_then(|()| reach(Failpoint::SpoolRemoved)),
        }
        .map_err(SpoolError::io(folder.path().join(text)))?;
        removed += 1;
    }
    Ok(removed)
}

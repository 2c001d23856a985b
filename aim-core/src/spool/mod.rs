//! The folders of a volume: where journal files wait, on the source and on the mirror.
//!
//! ```text
//! source  JOURNAL_DIR/                        mirror  MIRROR_DIR/
//!   volume.id       who the volume is           volume.id      the same
//!   sealed.cursor   last sealed file            mirror.id      which devices are paired
//!   open/           the one unsealed file       mirror.cursor  received, intent, applied
//!   outgoing/       sealed files       ──────▶  incoming/      arrived files
//!                                               rejected/      files set aside, with reasons
//! ```
//!
//! Names that end in `.tmp` or `.part` are not whole yet, or leftovers, and are never listed.

mod listing;
mod mirror;
mod source;

pub use listing::{Listing, WaitingFile};
pub use mirror::MirrorSpool;
pub use source::SourceSpool;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cursor::Position;
use crate::fs::Directory;
use crate::state_file::{StateError, StateFile};
use crate::units::VolumeId;

/// Why a folder of a volume can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// An identity or a cursor can't be read or written.
    #[error("in {folder}: {source}")]
    State {
        /// The folder of the volume.
        folder: PathBuf,
        /// What is wrong with the file.
        source: StateError,
    },
    /// The folder has no such file: it was never made the folder of a volume.
    #[error("{folder} has no {name}: it is not the folder of an initialized volume")]
    NotInitialized {
        /// The folder.
        folder: PathBuf,
        /// The file that is missing.
        name: &'static str,
    },
    /// The folder belongs to a volume already.
    #[error("{folder} already has a {name}: it is the folder of another volume")]
    AlreadyInitialized {
        /// The folder.
        folder: PathBuf,
        /// The file that is there.
        name: &'static str,
    },
}

impl SpoolError {
    fn io(path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path, source }
    }
}

/// Reads a state file that may be missing.
fn load_optional<S: StateFile>(folder: &dyn Directory) -> Result<Option<S>, SpoolError> {
    S::load(folder).map_err(|source| SpoolError::State {
        folder: folder.path(),
        source,
    })
}

/// Reads a state file that every initialized folder has.
fn load_required<S: StateFile>(folder: &dyn Directory) -> Result<S, SpoolError> {
    let loaded = load_optional(folder)?;
    loaded.ok_or_else(|| SpoolError::NotInitialized {
        folder: folder.path(),
        name: S::NAME,
    })
}

/// Replaces a state file.
fn store<S: StateFile>(folder: &dyn Directory, value: &S) -> Result<(), SpoolError> {
    let stored = value.store(folder);
    stored.map_err(|source| SpoolError::State {
        folder: folder.path(),
        source,
    })
}

/// Refuses a folder that has a state file of this kind, also a damaged one.
fn require_absent<S: StateFile>(folder: &dyn Directory) -> Result<(), SpoolError> {
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
fn subfolder(root: &Arc<dyn Directory>, name: &str) -> Result<Arc<dyn Directory>, SpoolError> {
    let opened = root.subdirectory(name);
    opened.map_err(SpoolError::io(root.path().join(name)))
}

/// Removes the sealed files of a volume, in the position's epoch, up to and with the position's.
///
/// Not durable: what comes back in a crash is removed another time.
fn remove_up_to(
    folder: &dyn Directory,
    volume: VolumeId,
    position: Position,
) -> Result<u64, SpoolError> {
    let mut removed = 0;
    for file in Listing::read(folder)?.files {
        let ours = file.name.volume == volume && file.name.epoch == position.epoch;
        if ours && file.name.number <= position.file {
            let name = file.name.sealed();
            let done = folder.remove(&name);
            done.map_err(SpoolError::io(folder.path().join(name)))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;

//! The folder of a volume's extent map, and what ties it to the journal.
//!
//! An extent map is believed, so it must be the one that was kept beside this journal to the end:
//! one that was left behind, on a file system that was not mounted for a while, would call
//! extents clean that have changed since. Therefore both folders hold the same random mark, given
//! together with the map.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aim_core::capture::{ExtentMap, Initial};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::units::VolumeId;

use crate::config::VolumeConfig;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// Name of the mark in both folders.
pub(crate) const MARK: &str = "state.mark";
/// A mark is shorter.
const MARK_BYTES_MAX: usize = 64;

/// Opens the folder that belongs to this journal.
///
/// # Errors
///
/// There is none, or it belongs to another journal.
pub(crate) fn open(volume: &VolumeConfig, journal: &dyn Directory) -> Outcome<Arc<dyn Directory>> {
    find(volume, journal)?.ok_or_else(|| {
        Problem::new("the extent map that was kept beside the journal is not here")
            .at(volume.state.display())
            .hint(format!(
                "mount the file system of `state_dir`, or say where it is now; `aim init {}` makes \
                 a new one, and all of the disk is copied then",
                volume.name
            ))
            .exit(Exit::NotFound)
    })
}

/// The folder, if it is there and belongs to this journal.
pub(crate) fn find(
    volume: &VolumeConfig,
    journal: &dyn Directory,
) -> Outcome<Option<Arc<dyn Directory>>> {
    let folder = match HostDirectory::open(&volume.state) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&volume.state, &error)),
    };
    let (own, other) = (mark_in(&*folder)?, mark_in(journal)?);
    Ok((own.is_some() && own == other).then_some(folder as Arc<dyn Directory>))
}

/// Makes the folder with a new map, which replaces one that is there, and ties it to the journal;
/// durable when this returns. After an interruption [`find`] does not find it.
pub(crate) fn create(
    volume: &VolumeConfig,
    journal: &dyn Directory,
    identity: &VolumeIdentity,
    initial: Initial,
) -> Outcome<()> {
    let folder = make(&volume.state).map_err(|error| unusable(&volume.state, &error))?;
    ExtentMap::create(&*folder, identity, initial, None).map_err(|error| {
        Problem::new("can't make the extent map")
            .at(volume.state.display())
            .because(&error)
            .exit(Exit::Failed)
    })?;
    // any random number will do
    let mark = VolumeId::generate().to_string();
    for side in [&*folder as &dyn Directory, journal] {
        let written = side.write_atomic(MARK, mark.as_bytes());
        written.map_err(|error| unusable(&side.path(), &error))?;
    }
    Ok(())
}

fn make(path: &Path) -> io::Result<Arc<HostDirectory>> {
    // `state_dir`, whose name is to be durable too
    if let Some(state_dir) = path.parent() {
        std::fs::create_dir_all(state_dir.parent().unwrap_or(state_dir))?;
        HostDirectory::open_or_create(state_dir)?;
    }
    let folder = HostDirectory::open_or_create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(folder)
}

fn mark_in(folder: &dyn Directory) -> Outcome<Option<Vec<u8>>> {
    match folder.read_small(MARK, MARK_BYTES_MAX) {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&folder.path(), &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Problem::new("can't use the folder of the extent map")
        .at(path.display())
        .io(error)
}

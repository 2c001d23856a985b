//! The source's side: identity, journal and extent map of a volume.
//!
//! 1. The disk is looked at and claimed; no target may belong to another volume.
//! 2. The extent map is made: all of the disk is to be copied, unless the operator says that the
//!    mirror's holds the same.
//! 3. `volume.id` is written in the journal directory, durably.
//! 4. It is brought to each target. (A repetition after a stop before this goes on here.)

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aim_core::capture::Initial;
use aim_core::device::BlockDevice;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::spool::SourceSpool;

use super::deliver::{foreign, to_mirror};
use super::report::{Report, Status};
use crate::args::InitArgs;
use crate::config::VolumeConfig;
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::far::FarDirectory;
use crate::{state, state_folder};

/// Initializes a volume, or finds that it is.
pub(super) fn init(volume: &VolumeConfig, args: &InitArgs) -> Outcome<Report> {
    if args.overwrite.is_some() {
        return Err(Problem::new(
            "`--overwrite` is for a mirror: a volume's disk is not overwritten",
        )
        .at(format!("[volume.{}]", volume.name))
        .hint("say it on the mirror host; here --assume-identical is for disks that are the same already")
        .exit(Exit::Usage));
    }
    let all: Vec<_> = volume.targets.iter().map(FarDirectory::new).collect();
    let known = match HostDirectory::open(&volume.journal) {
        Ok(journal) => {
            let identity = state::load::<VolumeIdentity>(&*journal)?;
            identity.map(|identity| (journal, identity))
        }
        Err(_) => None,
    };
    let initial = match args.assume_identical {
        true => Initial::Identical,
        false => Initial::Unknown,
    };
    let (identity, made) = match known {
        Some((journal, identity)) => {
            let made = take_up(volume, &*journal, &identity, initial)?;
            (identity, made)
        }
        None => (create(volume, &all, initial)?, Made::Volume),
    };
    let mut delivered = false;
    for far in &all {
        delivered |= to_mirror(&identity, far)?;
    }
    let status = match made {
        Made::Volume => Status::Initialized,
        Made::Map => Status::Completed,
        Made::Nothing if delivered => Status::Completed,
        Made::Nothing => Status::AlreadyInitialized,
    };
    let name = &volume.name;
    let first = match (made, initial) {
        (Made::Nothing, _) => "",
        (_, Initial::Unknown) => {
            "The first `aim run` copies to the mirror whatever differs there; the disk may be used\n\
             meanwhile, and the mirror changes when all of it has arrived.\n"
        }
        (_, Initial::Identical) => {
            "Nothing is copied at first: both disks are taken to hold the same bytes.\n"
        }
    };
    let next = format!(
        "  targets    {}\n  extent map {}\n{first}\
         Next: `aim init {name}` on the mirror host, then `aim run` on both, then use /dev/aim/{name}.",
        places(&all),
        volume.state.display()
    );
    Ok(Report::new(
        status,
        ("volume", name),
        &identity,
        &volume.device,
        next,
    ))
}

/// What was missing here, and is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Volume,
    Map,
    Nothing,
}

/// The volume exists: its disk must still be the one that it was made for. An extent map that is
/// gone is made anew.
fn take_up(
    volume: &VolumeConfig,
    journal: &dyn Directory,
    identity: &VolumeIdentity,
    initial: Initial,
) -> Outcome<Made> {
    let device = disk::open_read_only(&volume.device)?;
    disk::check_fits(identity, &device, &volume.device)?;
    if state_folder::find(volume, journal)?.is_some() {
        return Ok(Made::Nothing);
    }
    drop(device);
    // nobody must be at work with the map that is lost
    let _claim = disk::open_exclusive(&volume.device)?;
    state_folder::create(volume, journal, identity, initial)?;
    Ok(Made::Map)
}

fn create(
    volume: &VolumeConfig,
    all: &[FarDirectory<'_>],
    initial: Initial,
) -> Outcome<VolumeIdentity> {
    let facts = disk::look(&volume.device)?;
    disk::refuse_used(&facts)?;
    for far in all {
        if let Some(other) = far.volume()? {
            return Err(foreign(far, &other));
        }
    }
    let device = disk::open_exclusive(&volume.device)?;
    let journal = new_journal(&volume.journal)?;
    let identity = VolumeIdentity::generate(device.size(), device.block_size());
    state_folder::create(volume, &*journal, &identity, initial)?;
    SourceSpool::create(journal, &identity).map_err(|error| state::spool_failed(&error))?;
    Ok(identity)
}

/// Makes the journal directory, or takes an empty one.
fn new_journal(path: &Path) -> Outcome<Arc<dyn Directory>> {
    let failed = |error: &std::io::Error| {
        Problem::new("can't make the journal directory")
            .at(path.display())
            .io(error)
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    }
    let is_new = !path.exists();
    let journal: Arc<dyn Directory> =
        HostDirectory::open_or_create(path).map_err(|error| failed(&error))?;
    if is_new {
        // nobody else may read what is on the disk from its journal
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(|error| failed(&error))?;
    }
    let mut left = std::fs::read_dir(path).map_err(|error| failed(&error))?;
    // an interrupted `init` leaves these, empty
    let ours = [
        "lost+found",
        "volume.id.tmp",
        state_folder::MARK,
        "state.mark.tmp",
        "open",
        "rescue",
        "damaged",
        "outgoing",
    ];
    let foreign = left.find_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let holds_files =
            std::fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_some());
        let is_ours = ours.iter().any(|known| name == **known);
        (!is_ours || name != "lost+found" && holds_files).then_some(name)
    });
    if let Some(name) = foreign {
        return Err(Problem::new(format!(
            "the journal directory is not empty and has no volume.id: it holds `{}`",
            name.to_string_lossy()
        ))
        .at(path.display())
        .hint("name an empty or a new directory")
        .exit(Exit::Usage));
    }
    Ok(journal)
}

fn places(all: &[FarDirectory<'_>]) -> String {
    let places: Vec<String> = all.iter().map(FarDirectory::place).collect();
    places.join(", ")
}

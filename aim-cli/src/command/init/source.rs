//! The source's side: identity and journal of a volume.
//!
//! 1. The disk is looked at and claimed; the target must not belong to another volume.
//! 2. `volume.id` is written in the journal directory, durably.
//! 3. It is brought to the target. (A repetition after a stop before this goes on here.)

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aim_core::capture::{ExtentMap, Initial};
use aim_core::device::BlockDevice;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::spool::SourceSpool;
use aim_core::state_file::StateFile;

use super::report::{Report, Status};
use crate::args::InitArgs;
use crate::config::VolumeConfig;
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::far::FarDirectory;
use crate::state;

/// Initializes a volume, or finds that it is.
pub(super) fn init(volume: &VolumeConfig, args: &InitArgs) -> Outcome<Report> {
    if args.overwrite.is_some() {
        return Err(Problem::new(
            "`--overwrite` is for a mirror: a volume's disk is not overwritten",
        )
        .at(format!("[volume.{}]", volume.name))
        .hint("use --assume-identical if the mirror's disk already holds the same bytes")
        .exit(Exit::Usage));
    }
    let far = FarDirectory::new(volume);
    let known = match HostDirectory::open(&volume.journal) {
        Ok(journal) => state::load::<VolumeIdentity>(&*journal)?,
        Err(_) => None,
    };
    let (identity, fresh) = match known {
        Some(identity) => (check_known(volume, identity)?, false),
        None => (create(volume, &far, args.assume_identical)?, true),
    };
    let delivered = deliver(&identity, &far)?;
    let status = match (fresh, delivered) {
        (true, _) => Status::Initialized,
        (false, true) => Status::Completed,
        (false, false) => Status::AlreadyInitialized,
    };
    let name = &volume.name;
    let next = format!(
        "  target     {}\n\
         Both disks must hold the same bytes to begin with: both blank, or this one copied to the\n\
         mirror's while nothing writes to it. There is no first copy over the network yet.\n\
         Next: `aim init {name}` on the mirror host, then `aim run` on both, then use /dev/aim/{name}.",
        volume.target
    );
    Ok(Report::new(
        status,
        ("volume", name),
        &identity,
        &volume.device,
        next,
    ))
}

/// The volume exists: its disk must still be the one that it was made for.
fn check_known(volume: &VolumeConfig, identity: VolumeIdentity) -> Outcome<VolumeIdentity> {
    let device = disk::open_read_only(&volume.device)?;
    disk::check_fits(&identity, &device, &volume.device)?;
    Ok(identity)
}

fn create(
    volume: &VolumeConfig,
    far: &FarDirectory<'_>,
    identical: bool,
) -> Outcome<VolumeIdentity> {
    let facts = disk::look(&volume.device)?;
    disk::refuse_used(&facts)?;
    if !facts.signatures.is_empty() && !identical {
        let signs: Vec<String> = facts.signatures.iter().map(ToString::to_string).collect();
        return Err(Problem::new(format!("the disk bears data: {}", signs.join(", ")))
            .at(volume.device.display())
            .hint(
                "copy it to the mirror's disk byte by byte while nothing writes to it, then say \
                 --assume-identical: only changes from now on are mirrored",
            )
            .exit(Exit::Usage));
    }
    if let Some(other) = far.volume()? {
        return Err(foreign_target(far, &other));
    }
    let device = disk::open_exclusive(&volume.device)?;
    let journal = new_journal(&volume.journal)?;
    let identity = VolumeIdentity::generate(device.size(), device.block_size());
    let map = ExtentMap::create(&*journal, &identity, Initial::Identical, None);
    map.map_err(|error| {
        Problem::new("can't make the extent map")
            .at(volume.journal.display())
            .because(&error)
            .exit(Exit::Failed)
    })?;
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
        "extents.map",
        "extents.map.tmp",
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

/// Brings the identity to the target; whether that had to be done.
fn deliver(identity: &VolumeIdentity, far: &FarDirectory<'_>) -> Outcome<bool> {
    match far.volume()? {
        Some(found) if found == *identity => Ok(false),
        Some(other) => Err(foreign_target(far, &other)),
        None => {
            far.put(VolumeIdentity::NAME, identity.encode())?;
            Ok(true)
        }
    }
}

fn foreign_target(far: &FarDirectory<'_>, other: &VolumeIdentity) -> crate::failure::Failure {
    Problem::new(format!("the target belongs to volume {}", other.id))
        .at(far.place())
        .hint("give each volume a directory of its own on the mirror host")
        .exit(Exit::Gap)
}

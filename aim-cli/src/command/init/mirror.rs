//! The mirror host's side: pairs a volume that arrived with a disk.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use aim_core::device::FileDevice;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::{MirrorIdentity, VolumeIdentity};
use aim_core::spool::MirrorSpool;
use aim_core::units::MirrorId;

use super::deliver::{foreign, to_follower};
use super::report::{Report, Status};
use crate::args::InitArgs;
use crate::config::MirrorConfig;
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::far::FarDirectory;
use crate::host::DeviceFacts;
use crate::state;

/// Pairs a mirror, or finds that it is.
pub(super) fn init(mirror: &MirrorConfig, args: &InitArgs) -> Outcome<Report> {
    if args.assume_identical {
        return Err(
            Problem::new("`--assume-identical` is for the volume on the source")
                .at(format!("[mirror.{}]", mirror.name))
                .hint("to use a disk that bears data, name it: --overwrite DEVICE")
                .exit(Exit::Usage),
        );
    }
    let directory = open_directory(mirror)?;
    take_from_store(mirror, &directory)?;
    let Some(volume) = state::load::<VolumeIdentity>(&*directory)? else {
        return Err(
            Problem::new("no volume has arrived here: volume.id is missing")
                .at(mirror.directory.display())
                .hint("run `aim init NAME` on the source first; its target must be this directory")
                .exit(Exit::NotFound),
        );
    };
    let all: Vec<_> = mirror.targets.iter().map(FarDirectory::new).collect();
    let status = match state::load::<MirrorIdentity>(&*directory)? {
        Some(pairing) => check_known(mirror, &volume, &pairing, &directory)?,
        None => pair(mirror, &volume, args.overwrite.as_deref(), &directory)?,
    };
    // last: what is done here does not wait for others
    let mut delivered = false;
    for far in &all {
        delivered |= to_follower(&volume, far)?;
    }
    let status = match status {
        Status::AlreadyInitialized if delivered => Status::Completed,
        status => status,
    };
    let next = format!(
        "  directory  {}\n\
         From now on only `aim run` may write to the disk; mount it read-only at most, while no aim runs.\n\
         Next: `aim run` on both hosts.",
        mirror.directory.display()
    );
    Ok(Report::new(
        status,
        ("mirror", &mirror.name),
        &volume,
        &mirror.device,
        next,
    ))
}

/// A mirror that fetches takes the identity of the volume from the store.
fn take_from_store(mirror: &MirrorConfig, directory: &Arc<dyn Directory>) -> Outcome<()> {
    let Some(from) = &mirror.fetch else {
        return Ok(());
    };
    let far = FarDirectory::new(from);
    let Some(found) = far.volume()? else {
        return Err(Problem::new("no volume is in the store: volume.id is missing")
            .at(far.place())
            .hint("run `aim init NAME` on the source first; one of its targets must be this store")
            .exit(Exit::NotFound));
    };
    match state::load::<VolumeIdentity>(&**directory)? {
        Some(known) if known.id == found.id => Ok(()),
        Some(_) => Err(foreign(&far, &found)),
        None => MirrorSpool::create_follower(Arc::clone(directory), &found)
            .map(drop)
            .map_err(|error| state::spool_failed(&error)),
    }
}

fn open_directory(mirror: &MirrorConfig) -> Outcome<Arc<dyn Directory>> {
    match HostDirectory::open(&mirror.directory) {
        Ok(directory) => Ok(directory),
        Err(error) => Err(Problem::new("can't open the mirror's directory")
            .at(mirror.directory.display())
            .hint(
                "make it, owned by the account that the source logs in as, then run \
                 `aim init NAME` on the source",
            )
            .io(&error)),
    }
}

fn check_known(
    mirror: &MirrorConfig,
    volume: &VolumeIdentity,
    pairing: &MirrorIdentity,
    directory: &Arc<dyn Directory>,
) -> Outcome<Status> {
    let device = disk::open_read_only(&mirror.device)?;
    disk::check_fits(volume, &device, &mirror.device)?;
    disk::check_paired(volume, pairing, &device, &mirror.device)?;
    spool(directory)?;
    Ok(Status::AlreadyInitialized)
}

fn pair(
    mirror: &MirrorConfig,
    volume: &VolumeIdentity,
    overwrite: Option<&Path>,
    directory: &Arc<dyn Directory>,
) -> Outcome<Status> {
    let facts = disk::look(&mirror.device)?;
    disk::refuse_used(&facts)?;
    let device: FileDevice = disk::open_exclusive(&mirror.device)?;
    disk::check_fits(volume, &device, &mirror.device)?;
    may_overwrite(&facts, overwrite)?;
    let spool = spool(directory)?;
    let pairing = MirrorIdentity {
        id: MirrorId::generate(),
        volume: volume.id,
        devices: vec![device.fingerprint()],
    };
    spool
        .pair(&pairing)
        .map_err(|error| state::spool_failed(&error))?;
    Ok(Status::Initialized)
}

/// A disk that bears data must be named on the command line, and it must be the configured one.
fn may_overwrite(facts: &DeviceFacts, named: Option<&Path>) -> Outcome<()> {
    if let Some(named) = named {
        if disk::same(named, &facts.path) {
            return Ok(());
        }
        return Err(Problem::new(format!(
            "`--overwrite {}` is not the disk of this mirror",
            named.display()
        ))
        .at(facts.path.display())
        .hint("check which disk is meant, in the configuration and on the command line")
        .exit(Exit::Usage));
    }
    if facts.signatures.is_empty() {
        return Ok(());
    }
    let signs: Vec<String> = facts.signatures.iter().map(ToString::to_string).collect();
    let shown = facts.path.display();
    Err(
        Problem::new(format!("the disk bears data: {}", signs.join(", ")))
            .at(shown)
            .hint(format!(
                "if it may be overwritten, or holds a copy of the source: --overwrite {}",
                facts.path.display()
            ))
            .exit(Exit::Usage),
    )
}

/// Opens the folder of the mirror, which makes `incoming/` and `rejected/`, for the account that owns the folder:
/// the source logs in as that one, and must be able to write there although this program runs
/// as root.
fn spool(directory: &Arc<dyn Directory>) -> Outcome<MirrorSpool> {
    let spool =
        MirrorSpool::open(directory.clone()).map_err(|error| state::spool_failed(&error))?;
    for folder in [spool.incoming_folder(), spool.rejected_folder()] {
        let folder = folder.path();
        give_to_owner(&directory.path(), &folder).map_err(|error| {
            Problem::new("can't give the folder to the account that the source logs in as")
                .at(folder.display())
                .io(&error)
        })?;
    }
    Ok(spool)
}

fn give_to_owner(directory: &Path, folder: &Path) -> std::io::Result<()> {
    let (owner, made) = (directory.metadata()?, folder.metadata()?);
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) {
        std::os::unix::fs::chown(folder, Some(owner.uid()), Some(owner.gid()))?;
    }
    // the files hold what is on the disk: others may not read them
    let mode = owner.permissions().mode() & 0o770 | 0o700;
    std::fs::set_permissions(folder, Permissions::from_mode(mode))
}

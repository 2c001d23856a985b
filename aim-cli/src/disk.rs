//! Opening the disks that a configuration names, and what they must satisfy.

use std::path::Path;

use aim_core::device::{BlockDevice, FileDevice, OpenDeviceError};
use aim_core::identity::{MirrorIdentity, VolumeIdentity};

use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};
use crate::host::{self, DeviceFacts, DiskGraph, MountTable};

/// Looks at a disk without claiming it.
pub(crate) fn look(path: &Path) -> Outcome<DeviceFacts> {
    let mounts = MountTable::read()
        .map_err(|error| Problem::new("can't read what is mounted").io(&error))?;
    host::inspect(path, &DiskGraph::of_host(mounts))
}

/// Refuses a disk that something uses.
pub(crate) fn refuse_used(facts: &DeviceFacts) -> Outcome<()> {
    if facts.uses.is_empty() {
        return Ok(());
    }
    Err(
        Problem::new(format!("the disk is in use: {}", facts.uses.join(", ")))
            .at(facts.path.display())
            .hint("unmount it, or stop what uses it")
            .exit(Exit::Busy),
    )
}

/// Opens a disk for this process alone.
pub(crate) fn open_exclusive(path: &Path) -> Outcome<FileDevice> {
    FileDevice::open_exclusive(path).map_err(|error| refused(path, &error))
}

/// Opens a disk to look at its size and name.
pub(crate) fn open_read_only(path: &Path) -> Outcome<FileDevice> {
    FileDevice::open_read_only(path).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &OpenDeviceError) -> Failure {
    let exit = match error {
        OpenDeviceError::Io { source, .. } => exit_of(source.kind()),
        OpenDeviceError::Busy { .. } => Exit::Busy,
        _ => Exit::Usage,
    };
    let problem = Problem::new("can't use the disk")
        .at(path.display())
        .because(error);
    match exit {
        Exit::Busy => problem.hint("unmount it, or stop the aim or other program that uses it"),
        _ => problem.hint("check the name and the disk with `lsblk`"),
    }
    .exit(exit)
}

/// Whether a disk can hold the volume: one device, the same size, blocks that divide the volume's.
pub(crate) fn check_fits(volume: &VolumeIdentity, device: &FileDevice, path: &Path) -> Outcome<()> {
    let [expected] = volume.devices.as_slice() else {
        let count = volume.devices.len();
        return Err(Problem::new(format!("the volume has {count} devices"))
            .at(path.display())
            .hint("this version mirrors volumes of one device")
            .exit(Exit::Usage));
    };
    let (size, block_size) = (device.size(), device.block_size());
    if size != expected.size {
        let what = format!(
            "the disk has {size} bytes, the volume has {}",
            expected.size
        );
        return Err(Problem::new(what)
            .at(path.display())
            .hint("both disks must have exactly the same size; a partition or a logical volume can be cut to it")
            .exit(Exit::Usage));
    }
    if !expected.block_size.is_multiple_of(block_size) {
        let what = format!(
            "the disk has blocks of {block_size} bytes, the volume of {}",
            expected.block_size
        );
        return Err(Problem::new(what)
            .at(path.display())
            .hint("writes of the source would not fit the blocks of this disk: use another disk")
            .exit(Exit::Usage));
    }
    Ok(())
}

/// Whether a disk is the one that a mirror was paired with.
pub(crate) fn check_paired(
    volume: &VolumeIdentity,
    pairing: &MirrorIdentity,
    device: &FileDevice,
    path: &Path,
) -> Outcome<()> {
    if pairing.volume != volume.id {
        let what = format!(
            "mirror.id pairs volume {}, but volume {} has arrived",
            pairing.volume, volume.id
        );
        return Err(Problem::new(what)
            .at(path.display())
            .hint("each volume needs a directory of its own on the mirror host")
            .exit(Exit::Gap));
    }
    let admitted = pairing
        .devices
        .first()
        .is_some_and(|paired| paired.admits(device.fingerprint()));
    if !admitted {
        return Err(Problem::new("this is not the disk that the mirror is paired with")
            .at(path.display())
            .hint("name the right disk in the configuration; its serial number differs from that in mirror.id")
            .exit(Exit::Usage));
    }
    Ok(())
}

/// Whether two paths lead to the same disk.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    match (host::store_of(a), host::store_of(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

//! Keeps the daemon from waiting for itself.
//!
//! A process that serves a disk must not need that disk: not to write back dirty pages when memory
//! is short, not to page in its own code, not through a mount that it holds open.

use std::collections::BTreeSet;

use rustix::io::Errno;
use rustix::mm::MlockAllFlags;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::host::{DiskGraph, MountTable, mounted_on, store_of};

/// Sets up the process. To be called before threads are started and files opened: threads
/// inherit all of it. A program that this process executes has to set itself up again.
///
/// Volumes make each step necessary; a program that only runs mirrors does without what it is
/// not allowed.
pub(crate) fn isolate(config: &Config) -> Outcome<()> {
    let serves_disks = !config.volumes.is_empty();
    let steps: [(&str, Step); 3] = [
        ("a mount namespace of its own", own_mounts),
        ("memory that is not written back through itself", io_flusher),
        ("locked memory", lock_memory),
    ];
    for (what, step) in steps {
        match step() {
            Ok(()) => {}
            Err(errno) if serves_disks => {
                return Err(Problem::new(format!("can't get {what}"))
                    .because(&std::io::Error::from(errno))
                    .hint("run as root (CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_IPC_LOCK); in a service: LimitMEMLOCK=infinity")
                    .exit(Exit::Failed));
            }
            Err(error) => {
                tracing::warn!(%error, "can't get {what}; only mirrors run, so it goes on")
            }
        }
    }
    if serves_disks {
        let_go_of_own_disks(config)?;
    }
    Ok(())
}

/// One thing that is asked of the kernel.
type Step = fn() -> Result<(), Errno>;

/// A mount of the device seen in this process would keep the device busy, and its flush at exit
/// would wait for the process that is exiting.
fn own_mounts() -> Result<(), Errno> {
    // SAFETY: only the mount namespace (and with it the current directory) is no longer shared:
    // no file descriptor, which is what the function is marked unsafe for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
}

/// Takes what is mounted from our devices out of the namespace, which is a copy of that of their
/// users: a device that waits for a server is in use when the server starts.
fn let_go_of_own_disks(config: &Config) -> Outcome<()> {
    let disks: BTreeSet<_> = config
        .volumes
        .keys()
        .filter_map(|name| store_of(&aim_ublk::path_of(name)))
        .collect();
    if disks.is_empty() {
        return Ok(());
    }
    let mounts = MountTable::read()
        .map_err(|error| Problem::new("can't read what is mounted").io(&error))?;
    for point in mounted_on(&DiskGraph::of_host(mounts), &disks) {
        match rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // one below another is gone with it
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(errno) => tracing::warn!(
                point = %point.display(), %errno,
                "can't let go of a mount of a device of ours, which stays in use until this process ends"
            ),
        }
    }
    Ok(())
}

/// Memory allocations of this process do not start I/O that it would have to serve itself.
fn io_flusher() -> Result<(), Errno> {
    rustix::process::configure_io_flusher_behavior(true)
}

fn lock_memory() -> Result<(), Errno> {
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

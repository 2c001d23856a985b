//! Keeps the daemon from waiting for itself.
//!
//! A process that serves a disk must not need that disk: not to write back dirty pages when memory
//! is short, not to page in its own code, not through a mount that it holds open.

use rustix::io::Errno;
use rustix::mm::MlockAllFlags;
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// Sets up the process. To be called before threads are started and files opened: threads
/// inherit all of it.
///
/// `serves_disks` makes each step necessary; a program that only runs mirrors does without what
/// it is not allowed.
pub(crate) fn isolate(serves_disks: bool) -> Outcome<()> {
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

/// Memory allocations of this process do not start I/O that it would have to serve itself.
fn io_flusher() -> Result<(), Errno> {
    rustix::process::configure_io_flusher_behavior(true)
}

fn lock_memory() -> Result<(), Errno> {
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

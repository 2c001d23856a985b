//! One daemon per run directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// Held while the program runs; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Makes the run directory and takes its lock.
    pub(crate) fn take(run_dir: &Path) -> Outcome<Self> {
        match lock(run_dir) {
            Ok(file) => Ok(Self { _file: file }),
            Err(error) if error.raw_os_error() == Some(Errno::WOULDBLOCK.raw_os_error()) => {
                Err(Problem::new("another aim is running")
                    .at(run_dir.display())
                    .hint("see `aim status`; a second one needs its own run_dir")
                    .exit(Exit::Busy))
            }
            Err(error) => Err(Problem::new("can't use the run directory")
                .at(run_dir.display())
                .hint("`aim run` needs root, and a run_dir that it can write to")
                .io(&error)),
        }
    }
}

fn lock(run_dir: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(run_dir)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(run_dir.join("aim.lock"))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

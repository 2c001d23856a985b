//! Everything that can keep a guest from running.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a guest could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// A file or folder of the harness could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program that the harness needs did not start.
    #[error("cannot start {program}: {source}; is its package installed? (cargo xtask setup)")]
    Start {
        /// Its name.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program that the harness needs failed.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its stderr.
        said: String,
    },
    /// Packages are missing and this process may not install them.
    #[error("missing: {}; install with: {command}", missing.join(" "))]
    Packages {
        /// Debian's names of them.
        missing: Vec<String>,
        /// What to type as root.
        command: String,
    },
    /// The machine's apt settings name no Debian archive to fetch a kernel from.
    #[error("no Debian archive in this machine's apt settings (apt-get indextargets lists none)")]
    NoArchive,
    /// No suite has the kernel that was asked for.
    #[error("no package {package} in {suites}")]
    NoKernel {
        /// The package asked for.
        package: String,
        /// The suites that were searched.
        suites: String,
    },
    /// A kernel package has another form than the harness knows.
    #[error("{}: {what}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A word of the command line or of a builder call was not understood.
    #[error("{value:?} is not {expected}")]
    Word {
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
}

/// Puts path and action to an [`io::Error`].
pub(crate) trait Doing<T> {
    /// Says what was tried on which path.
    fn doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, VmError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, VmError> {
        self.map_err(|source| VmError::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        })
    }
}

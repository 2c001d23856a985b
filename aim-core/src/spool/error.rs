//! Why a folder of a volume can't be used.

use std::io;
use std::path::PathBuf;

use crate::state_file::StateError;

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
    pub(super) fn io(path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path, source }
    }
}

//! What can stand in the way of the series.

use std::io;
use std::path::PathBuf;

use crate::cursor::Position;
use crate::journal::{RecoverError, WriteError};
use crate::spool::SpoolError;

/// Why the journal does not take a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The folder of the volume.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An open file that an unclean stop left behind.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A file in the journal folder, or the room for it.
    #[error("{name} in {folder}")]
    Io {
        /// Folder.
        folder: PathBuf,
        /// File.
        name: String,
        /// What the file system said.
        source: io::Error,
    },
    /// A file lies in `open/` that is not the one behind the last sealed.
    #[error("{name} in {folder} does not follow {sealed}")]
    Stray {
        /// Folder.
        folder: PathBuf,
        /// File.
        name: String,
        /// The last sealed file.
        sealed: Position,
    },
}

impl SeriesError {
    /// Whether the same step may succeed later: the medium has no room now.
    pub(super) fn may_pass(&self) -> bool {
        self.io_error().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        })
    }

    /// Whether the file system is at fault, not what lies on it.
    pub(super) fn is_of_file_system(&self) -> bool {
        self.io_error().is_some_and(|error| {
            !matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        })
    }

    fn io_error(&self) -> Option<&io::Error> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error);
            }
            cause = error.source();
        }
        None
    }
}

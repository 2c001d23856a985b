//! What can stand in the way of receiving and applying.

use aim_core::journal::{FileName, ReadError};
use aim_core::replay::ReplayError;
use aim_core::spool::SpoolError;
use aim_core::state_file::StateError;

use crate::transport::Remedy;

/// Why nothing is received or applied at the moment. It is tried again in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The source can't be told what the mirror holds.
    #[error("the source can't be told what the mirror holds: {0}")]
    Answer(#[source] std::io::Error),
    /// The cursor can't be stored.
    #[error("how far the mirror is can't be stored")]
    Cursor(#[source] StateError),
    /// A file that was received is gone.
    #[error("{name} was received and is not in incoming/ any more")]
    Missing {
        /// The file.
        name: FileName,
    },
    /// Applying failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The mirror's folder can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No thread can be had.
    #[error("the thread {name} can't be started: {source}")]
    Thread {
        /// Which one.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An arrived file that is no good one can't be looked at.
    #[error("{name} can't be read: {source}")]
    Suspect {
        /// Its name.
        name: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// An arrived file can't be read.
    #[error("{name} can't be read")]
    Unreadable {
        /// The file.
        name: FileName,
        /// What the file system said.
        source: ReadError,
    },
    /// A file that arrived packed can't be unpacked for now.
    #[error("{name} can't be unpacked: {source}")]
    Unpacking {
        /// The file.
        name: FileName,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A file that arrived whole can't be made durable.
    #[error("{name} can't be made durable: {source}")]
    Undurable {
        /// The file.
        name: FileName,
        /// What the file system said.
        source: std::io::Error,
    },
}

impl ApplyError {
    /// Whether it may pass by itself.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Missing { .. } => Remedy::Retry,
            _ => Remedy::Operator,
        }
    }
}

//! What can stand in the way of fetching.

use std::io;
use std::path::PathBuf;

use aim_core::spool::SpoolError;
use aim_core::state_file::StateError;
use aim_core::units::{FileNumber, VolumeId};

use crate::transport::{InvalidName, Remedy, TransportError};

/// Why a round of fetching did not come to its end. It is tried again in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The store's cursor can't be read.
    #[error("a state file of the store can't be used")]
    FarState(#[source] StateError),
    /// The store holds another volume.
    #[error("the store holds volume {found}, not {expected}")]
    Foreign {
        /// The volume that is mirrored.
        expected: VolumeId,
        /// The volume that is in the store.
        found: VolumeId,
    },
    /// A file has another length than the one that was listed.
    #[error("{name} has {found} bytes, {listed} were listed")]
    Length {
        /// The file.
        name: String,
        /// In the listing.
        listed: u64,
        /// What came.
        found: u64,
    },
    /// A file can't be written here.
    #[error("can't write {}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store's cursor speaks of a file that is not there.
    #[error("file {number} is gone from the store, and there is no later baseline yet")]
    Missing {
        /// The file.
        number: FileNumber,
    },
    /// A name can't be used.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The folder of the mirror failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What the mirror says of itself can't be read.
    #[error("a state file of the mirror can't be used")]
    State(#[source] StateError),
    /// The way to the store failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl FetchError {
    /// Whether it may pass by itself.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Transport(error) => error.remedy(),
            Self::Length { .. } | Self::Missing { .. } => Remedy::Retry,
            _ => Remedy::Operator,
        }
    }
}

//! What can stand in the way of shipping.

use std::io::ErrorKind;

use aim_core::cursor::Position;
use aim_core::journal::{FileName, ReadError};
use aim_core::spool::SpoolError;
use aim_core::state_file::StateError;
use aim_core::units::{Epoch, FileNumber, VolumeId};

use crate::transport::{InvalidName, Remedy, TransportError};

/// Why a round of shipping did not come to its end. It is tried again in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// The mirror host is further than this journal: it has another one's files, or this one was
    /// set back.
    #[error("the mirror host has received up to {received}, but here only {sealed} is sealed")]
    Ahead {
        /// By the mirror's cursor.
        received: Box<Position>,
        /// By the source's.
        sealed: Box<Position>,
    },
    /// A file that waits here is damaged.
    #[error("{name}, which waits to be shipped, is damaged")]
    Damaged {
        /// The file.
        name: FileName,
        /// What is wrong with it.
        source: ReadError,
    },
    /// What the mirror host says of itself can't be read.
    #[error("a state file of the mirror host can't be used")]
    FarState(#[source] StateError),
    /// The mirror waits for a baseline, and is never asked what it holds.
    #[error(
        "the mirror there stands behind a relay or a store, and is none that a source ships to"
    )]
    Follower,
    /// The far directory mirrors another volume.
    #[error("the directory on the mirror host is of volume {found}, not of {expected}")]
    ForeignMirror {
        /// The volume that is shipped.
        expected: VolumeId,
        /// The volume that is mirrored there.
        found: VolumeId,
    },
    /// The mirror host needs a file that is no longer here.
    #[error("the mirror host needs file {needed}, which is not in the journal any more")]
    Gap {
        /// The file that comes next there.
        needed: FileNumber,
    },
    /// The mirror may begin with any file, but is not asked what it holds.
    #[error("the mirror there does not know that it stands behind a relay")]
    NoFollower,
    /// There is no mirror yet.
    #[error("the directory is not paired with a disk yet")]
    NotPaired,
    /// A name can't be used on the far side.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The mirror follows another epoch.
    #[error("the mirror host is in epoch {found}, this journal in {expected}")]
    OtherEpoch {
        /// Of the journal.
        expected: Epoch,
        /// Of the mirror's cursor.
        found: Epoch,
    },
    /// The mirror holds a file of this number that is not the one from here.
    #[error("the mirror host has received another file {file} than the one of this journal")]
    OtherHistory {
        /// The file.
        file: FileNumber,
    },
    /// The mirror host refused a file, and it was sent again.
    #[error(
        "the mirror host set {name} aside{}; it was sent again",
        because(reason)
    )]
    SetAside {
        /// The file.
        name: FileName,
        /// What the mirror host says, if it could be read.
        reason: Option<String>,
    },
    /// The journal folder can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file that waits here can't be read.
    #[error("{name}, which waits to be shipped, can't be read")]
    Unreadable {
        /// The file.
        name: FileName,
        /// What the file system said.
        source: ReadError,
    },
}

impl ShipError {
    /// Whether it may pass by itself.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Transport(error) => error.remedy(),
            Self::SetAside { .. } | Self::NotPaired => Remedy::Retry,
            _ => Remedy::Operator,
        }
    }

    /// Whether a file that waited is not here any more.
    pub(super) fn is_gone(&self) -> bool {
        let Self::Unreadable { source, .. } = self else {
            return false;
        };
        matches!(source, ReadError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }

    pub(super) fn reading(name: FileName) -> impl FnOnce(ReadError) -> Self {
        move |source| match source.is_damage() {
            true => Self::Damaged { name, source },
            false => Self::Unreadable { name, source },
        }
    }
}

fn because(reason: &Option<String>) -> String {
    match reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    }
}

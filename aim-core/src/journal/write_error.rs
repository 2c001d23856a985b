//! What can go wrong while a journal file is written.

use std::io;

use super::name::FileName;
use crate::format::{HeaderError, IocbError};
use crate::units::Lsn;

/// Why a journal file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system failed.
    #[error("{step} of journal file {name} failed: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// The file.
        name: FileName,
        /// What the file system said.
        source: io::Error,
    },
    /// The file would be invalid from the start; nothing was written.
    #[error("journal file {name} can't be created: {source}")]
    Spec {
        /// The file.
        name: FileName,
        /// What is wrong with its header.
        source: HeaderError,
    },
    /// An earlier error left the content of the file unknown.
    #[error("journal file {name} failed before and takes nothing more")]
    Poisoned {
        /// The file.
        name: FileName,
    },
    /// The records do not fit in this file; nothing was written.
    #[error("journal file {name} has no room for {records} more records ({bytes} bytes)")]
    Full {
        /// The file.
        name: FileName,
        /// How many records were to be appended.
        records: usize,
        /// Bytes of their payloads.
        bytes: u64,
    },
    /// A record does not follow the one before, or not fit its device; nothing was written.
    #[error("record {lsn} does not fit journal file {name}: {source}")]
    Record {
        /// The file.
        name: FileName,
        /// The record.
        lsn: Lsn,
        /// What is wrong with it.
        source: IocbError,
    },
    /// An empty file can't be sealed, only removed.
    #[error("journal file {name} is empty and can't be sealed")]
    Empty {
        /// The file.
        name: FileName,
    },
}

impl WriteError {
    /// Whether the medium is full: the same call may be made again when there is room.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_space(source))
    }
}

pub(super) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

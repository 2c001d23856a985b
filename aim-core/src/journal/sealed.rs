//! A journal file that is complete.

use std::io;

use super::name::FileName;
use crate::cursor::Position;
use crate::failpoint::{Failpoint, reach};
use crate::format::{Header, Seal};
use crate::fs::Directory;
use crate::units::{ByteLen, Timestamp};

/// A file whose content is complete and durable, and never changes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFile {
    /// Its name.
    pub name: FileName,
    /// The place just behind it.
    pub position: Position,
    /// Size of the file.
    pub bytes: ByteLen,
    /// Time of its last record: the floor of the next file.
    pub last_time: Timestamp,
}

impl SealedFile {
    pub(super) fn new(header: &Header, seal: &Seal, last_time: Timestamp) -> Self {
        Self {
            name: file_name(header),
            position: position_behind(header, seal),
            bytes: seal.total_size,
            last_time,
        }
    }

    /// Moves the file from `open` to `outgoing`, under its final name. Durable when this
    /// returns. It may be repeated after an error or a crash.
    pub fn publish(&self, open: &dyn Directory, outgoing: &dyn Directory) -> io::Result<()> {
        let moved = open.rename(&self.name.open(), outgoing, &self.name.sealed());
        match moved {
            // moved already, perhaps not yet durably; and perhaps shipped and removed since
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        reach(Failpoint::SealRenamed)?;
        outgoing.sync()?;
        reach(Failpoint::SealPublished)?;
        open.sync()
    }
}

/// The name that belongs to a header.
pub(super) fn file_name(header: &Header) -> FileName {
    FileName {
        volume: header.volume.id,
        epoch: header.volume.epoch,
        number: header.number,
    }
}

pub(super) fn position_behind(header: &Header, seal: &Seal) -> Position {
    Position {
        epoch: header.volume.epoch,
        file: header.number,
        lsn: seal.last_lsn,
        digest: seal.digest,
        open_group: seal.open_group,
    }
}

//! From a packed file in `incoming/` to the journal file that is in it.
//!
//! 1. Unpack it into `NAME.aim.tmp`, and sync that.
//! 2. Verify that as any file that arrives.
//! 3. Give it its name. From here on it is as if it had arrived so.
//! 4. When it is received, remove the packed one.
//!
//! A stop before 3 leaves a file that nobody looks at and the next try replaces; after 3, both are
//! there, and the packed one goes with the other when it has been applied.

use std::io::{self, IoSlice};

use aim_core::failpoint::{Failpoint, reach};
use aim_core::format::Header;
use aim_core::fs::Directory;
use aim_core::journal::{FileName, VerifiedFile};
use aim_core::packed::{UnpackError, Unpacker};

use super::ApplyError;
use super::receive::{Mirror, Unfit, pass};
use crate::coordinator::chain;

impl Mirror {
    /// Steps 1 and 2.
    pub(super) fn unpack(&self, name: FileName) -> Result<VerifiedFile, Unfit> {
        let folder = &**self.spool.incoming_folder();
        let temporary = temporary(name);
        let verified =
            write_unpacked(folder, name, &temporary).and_then(|()| self.open(name, &temporary));
        // it may be the room that is missing
        verified.inspect_err(|_| self.remove_unpacked(name))
    }

    /// The header of the journal file that is in a packed one, if it can be read; the rest is not
    /// looked at.
    pub(super) fn packed_header(&self, name: FileName) -> Option<Header> {
        let folder = self.spool.incoming_folder();
        let mut unpacker = Unpacker::open(folder.open(&name.packed(), false).ok()?).ok()?;
        let bytes = unpacker.next_piece().ok()??.first_chunk()?;
        Header::parse(bytes).ok()
    }

    /// Gives up what was unpacked. As good as it goes: what stays is replaced another time.
    pub(super) fn remove_unpacked(&self, name: FileName) {
        remove(&**self.spool.incoming_folder(), &temporary(name));
    }

    /// Step 3.
    pub(super) fn take_unpacked(&self, name: FileName) -> Result<(), ApplyError> {
        let folder = self.spool.incoming_folder();
        let renamed = folder.rename(&temporary(name), &**folder, &name.sealed());
        renamed.map_err(|source| ApplyError::Unpacking { name, source })?;
        pass(Failpoint::UnpackRenamed, name)
    }

    /// Step 4. What comes back in a crash goes with the file itself.
    pub(super) fn remove_packed(&self, name: FileName) -> Result<(), ApplyError> {
        self.arrivals.forget(name, true);
        match self.spool.incoming_folder().remove(&name.packed()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ApplyError::Unpacking { name, source })
            }
            _ => Ok(()),
        }
    }
}

/// Where a file is unpacked: with an ending of what nobody looks at.
fn temporary(name: FileName) -> String {
    format!("{}.tmp", name.sealed())
}

fn remove(folder: &dyn Directory, temporary: &str) {
    if let Err(error) = folder.remove(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = temporary, %error, "can't be removed");
    }
}

/// Step 1.
fn write_unpacked(folder: &dyn Directory, name: FileName, temporary: &str) -> Result<(), Unfit> {
    let failed = |source| Unfit::Failed(ApplyError::Unpacking { name, source });
    let wrong = |error: UnpackError| match error {
        UnpackError::Io { source, .. } => failed(source),
        damage => Unfit::Damaged(chain(&damage)),
    };
    let packed = match folder.open(&name.packed(), false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unfit::Gone),
        opened => opened.map_err(failed)?,
    };
    let mut unpacker = Unpacker::open(packed).map_err(wrong)?;
    remove(folder, temporary);
    let file = folder.create(temporary).map_err(failed)?;
    let mut at = 0;
    while let Some(piece) = unpacker.next_piece().map_err(wrong)? {
        let written = file.write_all_at(&[IoSlice::new(piece)], at);
        written.map_err(failed)?;
        at += piece.len() as u64;
    }
    (reach(Failpoint::UnpackWritten))
        .and_then(|()| file.sync_data())
        .and_then(|()| reach(Failpoint::UnpackSynced))
        .map_err(failed)
}

//! The files of a mirror that are passed on.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{Outgoing, SpoolError, Waiting};

use super::Relay;

impl Outgoing for Relay {
    fn identity(&self) -> &VolumeIdentity {
        self.spool.identity()
    }

    fn root(&self) -> &Arc<dyn Directory> {
        self.spool.root()
    }

    fn folder(&self) -> &Arc<dyn Directory> {
        self.spool.incoming_folder()
    }

    fn look(&self) -> Result<Waiting, SpoolError> {
        loop {
            let received = self.cursor.get().received;
            // behind the other: a file that is received over a gap has moved this before
            let unbroken = self.lock().cursor.unbroken;
            let mut listing = self.spool.incoming()?;
            let identity = self.identity();
            listing.files.retain(|file| {
                (file.name.volume, file.name.epoch) == (identity.id, identity.epoch)
                    && (unbroken..=received.file).contains(&file.name.number)
            });
            listing.packed.clear();
            // a receipt is withdrawn before its file goes
            if self.cursor.get().received.file >= received.file {
                return Ok(Waiting {
                    sealed: received,
                    is_complete: true,
                    listing,
                });
            }
        }
    }

    fn remove(&self, received: Position) -> Result<u64, SpoolError> {
        // what was found at the start may not be durable, and what it covers is about to go
        let cursor = self.cursor.update(|_| {});
        let cursor = cursor.map_err(|source| super::state_failed(&self.spool, source))?;
        let applied = cursor.applied;
        self.spool.remove_applied(Position {
            file: received.file.min(applied.file),
            ..received
        })
    }

    fn free_bytes(&self) -> Result<u64, SpoolError> {
        let root = self.spool.root();
        let free = root.free_bytes();
        free.map_err(|source| SpoolError::Io {
            path: root.path(),
            source,
        })
    }
}

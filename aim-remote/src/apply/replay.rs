//! Applying what has been received.

use aim_core::cursor::MirrorCursor;
use aim_core::failpoint::Failpoint;
use aim_core::journal::{FileName, VerifiedFile};
use aim_core::replay::{Replay, ReplayError};

use super::ApplyError;
use super::receive::{Mirror, Unfit, pass};
use crate::coordinator::chain;

impl Mirror {
    /// Applies the file that comes next, if it has been received. Says whether there was one.
    pub(super) fn apply_next(&self, replay: &mut Replay) -> Result<bool, ApplyError> {
        let cursor = self.cursor.get();
        // also what was applied before a crash and not yet removed
        self.spool.remove_applied(cursor.applied)?;
        if cursor.received.file <= cursor.applied.file {
            return Ok(false);
        }
        let name = self.next_name(&cursor);
        let file = match self.take_ready(name.number) {
            Some(file) => file,
            None => match self.open(name) {
                Ok(file) => file,
                Err(Unfit::Damaged(reason)) => return self.take_back(name, Some(&reason)),
                Err(Unfit::Gone) => return self.take_back(name, None),
                Err(Unfit::Failed(error)) => return Err(error),
            },
        };
        match replay.apply(&file) {
            Ok(_) => self.note_applied(&file),
            Err(error) if is_at_fault(&error) => {
                drop(file);
                return self.take_back(name, Some(&chain(&error)));
            }
            Err(error) => return Err(error.into()),
        }
        self.spool.remove_applied(self.cursor.get().applied)?;
        self.note_waiting()?;
        Ok(true)
    }

    fn next_name(&self, cursor: &MirrorCursor) -> FileName {
        let identity = self.spool.identity();
        FileName {
            volume: identity.id,
            epoch: identity.epoch,
            number: cursor.applied.file.next(),
        }
    }

    fn note_applied(&self, file: &VerifiedFile) {
        tracing::debug!(file = %file.name(), "applied");
        self.shared.lock().applied_bytes += file.bytes().get();
    }

    /// A file that was received can't be used after all: sets it aside with the reason, if it is
    /// there, and takes the receipt back, so that the source sends it again if it has it.
    fn take_back(&self, name: FileName, reason: Option<&str>) -> Result<bool, ApplyError> {
        // the receipt first: a stop in between leaves a file that the receiver sets aside
        let stored = self
            .cursor
            .update(|cursor| cursor.received = cursor.applied);
        stored.map_err(ApplyError::Cursor)?;
        pass(Failpoint::ReceiptWithdrawn, name)?;
        match reason {
            Some(reason) => self.set_aside(&name.sealed(), reason)?,
            None => return Err(ApplyError::Missing { name }),
        }
        self.arrived.hint();
        Ok(true)
    }
}

/// Whether an error lies in the bytes of the file, and not in this host.
fn is_at_fault(error: &ReplayError) -> bool {
    match error {
        ReplayError::Read { source, .. } => source.is_damage(),
        error => error.is_refusal(),
    }
}

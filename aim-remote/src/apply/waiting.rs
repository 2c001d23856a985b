//! What waits to be applied, for the status.

use aim_core::format::Header;
use aim_core::journal::{FileName, ParsedFile};
use aim_core::units::Timestamp;

use super::arrived::Arrived;
use super::receive::Mirror;

impl Mirror {
    /// Counts what waits, for the status.
    pub(super) fn note_waiting(&self) {
        let cursor = self.cursor.get();
        let identity = self.spool.identity();
        let mut waiting = self.arrivals.in_order();
        waiting.retain(|file| (file.name.volume, file.name.epoch) == (identity.id, identity.epoch));
        let ours = waiting.len();
        waiting.retain(|file| file.name.number > cursor.applied.file);
        if waiting.len() < ours {
            // what has come again is for the applier to remove
            self.received.hint();
        }
        let next = cursor.received.file.next();
        let first_ahead = waiting.iter().find(|file| file.name.number >= next);
        let oldest = waiting.first();
        let known = self.shared.lock().oldest_waiting;
        let oldest = oldest.map(|file| match known {
            Some((name, Some(created))) if name == file.name => (name, Some(created)),
            _ => (file.name, self.created(file)),
        });
        let mut status = self.shared.lock();
        status.oldest_waiting = oldest;
        status.waiting_files = waiting.len() as u64;
        status.waiting_bytes = waiting.iter().map(|file| file.bytes).sum();
        status.missing = first_ahead
            .filter(|file| file.name.number > next)
            .map(|_| next);
    }

    /// When a file that waits was begun, in whichever form it does; `None` if it can't be read.
    fn created(&self, arrived: &Arrived) -> Option<Timestamp> {
        let header = match arrived.is_packed {
            true => self.packed_header(arrived.name)?,
            false => self.plain_header(arrived.name)?,
        };
        Some(header.created)
    }

    /// The header of a file that is not packed, if it is its own.
    pub(super) fn plain_header(&self, name: FileName) -> Option<Header> {
        let opened = self.spool.incoming_folder().open(&name.sealed(), false);
        let parsed = ParsedFile::open(opened.ok()?).ok()?;
        (parsed.name() == name).then(|| parsed.header().clone())
    }
}

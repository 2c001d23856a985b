//! Going on where files are missing: at a baseline, which makes up for them.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use aim_core::cursor::Position;
use aim_core::journal::FileName;
use aim_core::units::FileNumber;

use super::ApplyError;
use super::arrived::Arrived;
use super::receive::Mirror;

/// How often as long as a file that is wrong must stay as it is the source is given to send one again
/// that was set aside: five minutes. Then the mirror goes on at a baseline behind it.
const PATIENCE_SETTLES: u32 = 30;

impl Mirror {
    /// Where the next file is missing, and all that can be applied without it is: goes on with
    /// one that begins with a baseline, if there is one, and with what follows it. A follower begins so
    /// in any case.
    pub(super) fn step_over(&self) -> Result<(), ApplyError> {
        let cursor = self.cursor.get();
        let identity = self.spool.identity();
        let next = cursor.received.file.next();
        let mut later = self.arrivals.in_order();
        later.retain(|file| {
            (file.name.volume, file.name.epoch) == (identity.id, identity.epoch)
                && file.name.number >= next
        });
        let must = self.must_begin_at_a_baseline(cursor.received);
        let is_missing = later.first().is_some_and(|file| file.name.number > next);
        // in a group, or behind missing files, nothing may be applied without what is missing
        let waits = cursor.received.is_in_group() || cursor.base != FileNumber(0);
        let can_apply = cursor.applied != cursor.received && !waits;
        if !(is_missing || must) || can_apply {
            return Ok(());
        }
        let mut later = later
            .into_iter()
            .skip_while(|file| !self.begins_baseline(file));
        let Some(base) = later.next() else {
            return Ok(());
        };
        if !must && self.is_sent_again(next, base.name.number) {
            return Ok(());
        }
        let missing = FileName {
            number: next,
            ..base.name
        };
        if !must && self.is_there(missing) {
            // it came before the baseline, and while the folder was listed
            self.arrived.hint();
            return Ok(());
        }
        self.take_up(base, cursor.received)?;
        later.try_for_each(|file| self.consider(file))
    }

    /// Whether what is received behind `before` must begin with a baseline.
    pub(super) fn must_begin_at_a_baseline(&self, before: Position) -> bool {
        self.is_follower && before.is_start()
    }

    /// Whether a file is received behind `before` with files missing between, or as if there were.
    pub(super) fn steps_over(&self, before: Position, number: FileNumber) -> bool {
        number > before.file.next() || self.must_begin_at_a_baseline(before)
    }

    /// Whether one of these files was set aside a while ago: the source still has it, and sends it
    /// again as soon as it sees that.
    fn is_sent_again(&self, from: FileNumber, to: FileNumber) -> bool {
        let mut set_aside = self.lock_set_aside();
        set_aside.retain(|number, _| *number >= from);
        let patience = self.settle.saturating_mul(PATIENCE_SETTLES);
        let mut among = set_aside.range(from..=to);
        among.any(|(_, since)| since.elapsed() < patience)
    }

    pub(super) fn lock_set_aside(&self) -> MutexGuard<'_, BTreeMap<FileNumber, Instant>> {
        (self.set_aside.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file claims to begin with a baseline; what is not whole does not, unless it is
    /// packed. Of each file that can be read it is asked once.
    fn begins_baseline(&self, arrived: &Arrived) -> bool {
        if let Some(known) = arrived.begins_baseline() {
            return known;
        }
        let header = match arrived.is_packed {
            true => self.packed_header(arrived.name),
            false => self.plain_header(arrived.name),
        };
        let Some(header) = header else { return false };
        self.arrivals
            .note_baseline(arrived, header.begins_baseline());
        header.begins_baseline()
    }

    /// Whether a file lies in `incoming/`, or it can't be told.
    fn is_there(&self, name: FileName) -> bool {
        let folder = self.spool.incoming_folder();
        let is_there = |text: String| match folder.open(&text, false) {
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
            Ok(_) => true,
        };
        is_there(name.sealed()) || is_there(name.packed())
    }
}

//! Where a target stands, by its cursor and by what is here, and what it is to be sent.

use std::collections::BTreeMap;

use aim_core::cursor::{MirrorCursor, Position, Standing, TargetRecord};
use aim_core::spool::{Listing, Waiting, WaitingFile};
use aim_core::units::{FileNumber, Lsn, MirrorId};

use super::ShipError;
use super::origin::Origin;
use super::receipt::{open, proves_receipt};
use super::retention::Retention;
use super::targets::{State, TargetKind};

/// What a target is to be sent.
#[derive(Debug)]
pub(super) struct Course {
    /// Files that it needs, in series order.
    pub(super) waiting: Vec<WaitingFile>,
    /// Whether the mirror, once it has these, still waits for something.
    pub(super) is_joining: bool,
}

/// How a mirror's cursor is connected with the files that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// It lacks nothing that is not here.
    Whole,
    /// A file that it needs is gone.
    Gap,
    /// What it needs is just being sealed, or lies there and is not received yet, or again: a
    /// power cut may take back a cursor that was read, but no file that it spoke of.
    Unclear,
}

impl Retention {
    /// How a cursor is connected with the files that are here, and with those that lie in the far
    /// `incoming/`, with their lengths.
    pub(super) fn find(
        &self,
        cursor: &MirrorCursor,
        far: &BTreeMap<String, u64>,
        journal: &Waiting,
    ) -> Result<Connection, ShipError> {
        let sealed = journal.sealed;
        let is_proven = proves_receipt(&*self.spool, sealed, &journal.listing, cursor)?;
        let is_at_start = cursor.received.is_start();
        if is_at_start && self.has_followers() {
            // whatever lies there, it begins with a baseline
            return Ok(Connection::Gap);
        }
        let needed = cursor.received.file.next();
        let next = self.name(needed);
        if journal.listing.files.iter().any(|file| file.name == next) {
            return Ok(match is_proven || is_at_start {
                true => Connection::Whole,
                false => Connection::Gap,
            });
        }
        let has_all = is_proven && cursor.received.file == sealed.file;
        Ok(if has_all || is_at_start && sealed.is_start() {
            Connection::Whole
        } else if needed == sealed.file && !journal.is_complete
            || [next.sealed(), next.packed()]
                .iter()
                .any(|name| far.contains_key(name))
        {
            Connection::Unclear
        } else {
            Connection::Gap
        })
    }

    /// Where a target stands after its cursor was read.
    pub(super) fn next_record(
        &self,
        state: &State,
        index: usize,
        cursor: &MirrorCursor,
        journal: &Waiting,
        found: Connection,
    ) -> Result<TargetRecord, ShipError> {
        let entry = &state.targets[index];
        let record = &entry.record;
        let Some(origin) = &self.origin else {
            return match found {
                Connection::Gap => Err(ShipError::Gap {
                    needed: cursor.received.file.next(),
                }),
                Connection::Unclear => Ok(record.clone()),
                Connection::Whole => Ok(TargetRecord {
                    received: cursor.received,
                    ..record.clone()
                }),
            };
        };
        let with = |standing| TargetRecord {
            standing,
            received: cursor.received,
            ..record.clone()
        };
        let waits_for_baseline = cursor.base != FileNumber(0);
        let was_asked = !cursor.applied.is_start() && cursor.applied.lsn >= state.compared;
        // who can't be asked has to have come by a baseline before
        let is_known = entry.kind == TargetKind::Mirror && !self.has_followers()
            || record.standing == Standing::Left;
        Ok(match (record.standing, found) {
            (_, Connection::Unclear) => record.clone(),
            (Standing::Joins, Connection::Whole) if cursor.received.file >= record.from => {
                match !waits_for_baseline && cursor.applied.file >= record.from {
                    true => with(Standing::Follows),
                    false => with(Standing::Joins),
                }
            }
            // it has not taken up the series yet, and what it needs for that is still there
            (Standing::Joins, _)
                if cursor.received.file < record.from
                    && !self.has_missed(origin, record, journal) =>
            {
                let base = self
                    .base(&journal.listing, record.from)
                    .map(|(file, _)| file);
                // before the baseline there is nothing that is of use to it
                let all_are_looked_at = journal.is_complete.then(|| journal.sealed.file.next());
                let from = base.or(all_are_looked_at);
                TargetRecord {
                    from: from.unwrap_or(record.from).max(record.from),
                    ..record.clone()
                }
            }
            // as far as it has come it lacks nothing, but for the end of its baseline
            (Standing::Follows | Standing::New | Standing::Left, Connection::Whole)
                if waits_for_baseline =>
            {
                TargetRecord {
                    from: cursor.base,
                    from_lsn: journal.sealed.lsn.next(),
                    ..with(Standing::Joins)
                }
            }
            (Standing::Follows, Connection::Whole) => with(Standing::Follows),
            (Standing::New, Connection::Whole) if was_asked && is_known => with(Standing::Follows),
            (Standing::Left, Connection::Whole) if was_asked && is_known => {
                let follows = state.with(index, with(Standing::Follows));
                match self.why_left(&follows, index, &journal.listing) {
                    // it would be left again
                    Some(_) => with(Standing::Left),
                    None => with(Standing::Follows),
                }
            }
            _ => self.joining(&record.name, record.mirror, cursor, journal),
        })
    }

    /// A target that takes up the series at the next baseline. Behind a relay it may be one that is here:
    /// whatever is left out of what follows it, the relay itself holds as this target will.
    fn joining(
        &self,
        name: &str,
        mirror: MirrorId,
        cursor: &MirrorCursor,
        journal: &Waiting,
    ) -> TargetRecord {
        let sealed = journal.sealed;
        let received = match cursor.received.file <= sealed.file {
            true => cursor.received,
            false => Position::START,
        };
        let is_here = self.has_followers();
        let base = is_here.then(|| self.base(&journal.listing, received.file.next()));
        let (from, from_lsn) = base
            .flatten()
            .unwrap_or_else(|| (sealed.file.next(), sealed.lsn.next()));
        TargetRecord {
            mirror,
            received,
            from,
            from_lsn,
            ..TargetRecord::new(name, Standing::Joins)
        }
    }

    /// Whether the baseline that a target waits for is over, and its begin is not here.
    fn has_missed(&self, origin: &Origin, record: &TargetRecord, journal: &Waiting) -> bool {
        let is_over = origin.baselines.ended() >= record.from_lsn;
        is_over && journal.is_complete && self.base(&journal.listing, record.from).is_none()
    }

    /// The first file from `from` on that begins with a baseline, and where that begins.
    fn base(&self, listing: &Listing, from: FileNumber) -> Option<(FileNumber, Lsn)> {
        let files = self.of_this_series(listing, from);
        let mut files = files.into_iter();
        files.find_map(|file| {
            let parsed = open(&*self.spool, file.name).ok()?;
            let header = parsed.header();
            (header.begins_baseline()).then_some((file.name.number, header.first_lsn))
        })
    }

    pub(super) fn course(
        &self,
        record: &TargetRecord,
        cursor: &MirrorCursor,
        listing: &Listing,
    ) -> Course {
        let next = cursor.received.file.next();
        let is_joining = record.standing == Standing::Joins;
        let from = match record.standing {
            // what is here is sent to who is left, too: it may get within its limits again
            Standing::Follows | Standing::Left => Some(next),
            Standing::Joins if cursor.received.file >= record.from => Some(next),
            // what comes before the baseline is of no use to it
            Standing::Joins => self.base(listing, record.from).map(|(file, _)| file),
            Standing::New => None,
        };
        Course {
            waiting: from.map_or_else(Vec::new, |from| self.of_this_series(listing, from)),
            is_joining,
        }
    }
}

//! What an object store holds of a series: `store.cursor`.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::position::PositionRecord;
use super::{MirrorCursor, Position};
use crate::format::Seal;
use crate::state_file::{StateError, StateFile, frame, require_value, require_volume, unframe};
use crate::units::{FileNumber, Lsn, Timestamp, VolumeId};

/// What an object store holds of a series: `store.cursor`. The source keeps it there, since nobody
/// is at the store who could say it; those who follow the store read it.
///
/// It speaks of files from a baseline on, since who follows a store was never asked what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCursor {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// The last file that the store has for certain, and with it all before it from `base` on, or
    /// else from `next` on.
    pub received: Position,
    /// The file with which the last baseline begins that is in the store to its end: here a mirror
    /// can begin. 0: there is none.
    pub base: FileNumber,
    /// The file with which a later baseline begins, whose end is not in the store; 0: there is
    /// none.
    pub next: FileNumber,
    /// LSN of its begin; 0 if `next` is.
    pub next_lsn: Lsn,
    /// When the baseline at `base` was begun; 0 if `base` is.
    pub base_time: Timestamp,
    /// When the one at `next` was; 0 if `next` is.
    pub next_time: Timestamp,
}

/// What matters of a file in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The place behind it.
    pub position: Position,
    /// LSN of the baseline begin with which it begins; 0: with none.
    pub baseline_begun: Lsn,
    /// Where the last baseline began that ends in it; 0: none does.
    pub baseline_ended: Lsn,
    /// When it was begun.
    pub created: Timestamp,
}

impl StoredFile {
    /// A file that is begun and sealed so, and this place behind it.
    pub fn new(position: Position, created: Timestamp, seal: &Seal) -> Self {
        Self {
            position,
            created,
            baseline_begun: seal.baseline_begun,
            baseline_ended: seal.baseline_ended,
        }
    }

    /// Whether it begins with a baseline.
    pub fn begins_baseline(&self) -> bool {
        self.baseline_begun != Lsn(0)
    }
}

impl StoreCursor {
    /// That of a store which holds nothing yet.
    pub const fn new(volume: VolumeId) -> Self {
        Self {
            volume,
            received: Position::START,
            base: FileNumber(0),
            next: FileNumber(0),
            next_lsn: Lsn(0),
            base_time: Timestamp(0),
            next_time: Timestamp(0),
        }
    }

    /// Refuses a cursor that belongs to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }

    /// Whether it has the begin of a baseline, and all that follows.
    pub fn has_begun(&self) -> bool {
        (self.base, self.next) != (FileNumber(0), FileNumber(0))
    }

    /// The store has a file more, for certain: the one behind `received`; or one that begins with
    /// a baseline, and of what is before it the store lacks some.
    ///
    /// Says whether the file could be taken.
    pub fn take(&mut self, stored: &StoredFile) -> bool {
        let file = stored.position;
        let begins = stored.begins_baseline();
        let follows = self.has_begun() && file.file == self.received.file.next();
        if !follows && (!begins || file.file <= self.received.file) {
            return false;
        }
        if !follows {
            (self.base, self.base_time) = (FileNumber(0), Timestamp(0));
        }
        if begins {
            (self.next, self.next_lsn) = (file.file, stored.baseline_begun);
            self.next_time = stored.created;
        }
        if self.next != FileNumber(0) && stored.baseline_ended >= self.next_lsn {
            (self.base, self.base_time) = (self.next, self.next_time);
            (self.next, self.next_lsn) = (FileNumber(0), Lsn(0));
            self.next_time = Timestamp(0);
        }
        self.received = file;
        true
    }

    /// As that of a mirror which has applied all that a mirror could that follows the store, at its
    /// best.
    pub fn as_mirror(&self) -> MirrorCursor {
        let waits = self.base == FileNumber(0);
        let applied = match waits || self.received.is_in_group() {
            true => Position::START,
            false => self.received,
        };
        MirrorCursor {
            received: self.received,
            intent: applied,
            applied,
            base: if waits { self.next } else { FileNumber(0) },
            ..MirrorCursor::new(self.volume)
        }
    }
}

impl StateFile for StoreCursor {
    const NAME: &'static str = "store.cursor";

    fn encode(&self) -> Vec<u8> {
        let body = Body {
            volume: self.volume.0,
            received: self.received.into(),
            base: self.base.get().into(),
            next: self.next.get().into(),
            next_lsn: self.next_lsn.get().into(),
            base_time: self.base_time.get().into(),
            next_time: self.next_time.get().into(),
        };
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: Body = unframe(Self::NAME, MAGIC, bytes)?;
        let received = body.received.parse(Self::NAME)?;
        let base = body.base.get();
        for (field, number) in [("base", base), ("next", body.next.get())] {
            require_value(Self::NAME, field, number, |number| {
                number <= received.file.get() && (number == 0 || field == "base" || number > base)
            })?;
        }
        require_value(Self::NAME, "next_lsn", body.next_lsn.get(), |lsn| {
            (lsn == 0) == (body.next.get() == 0) && lsn <= received.lsn.get()
        })?;
        Ok(Self {
            volume: VolumeId(body.volume),
            received,
            base: FileNumber(base),
            next: FileNumber(body.next.get()),
            next_lsn: Lsn(body.next_lsn.get()),
            base_time: Timestamp(body.base_time.get()),
            next_time: Timestamp(body.next_time.get()),
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMsto\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Body {
    volume: [u8; 16],
    received: PositionRecord,
    base: U64,
    next: U64,
    next_lsn: U64,
    base_time: U64,
    next_time: U64,
}

const _: () = assert!(size_of::<Body>() == 120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;
    use crate::units::Epoch;

    fn position(file: u64) -> Position {
        Position {
            epoch: Epoch(1),
            file: FileNumber(file),
            lsn: Lsn(file * 100),
            digest: [file as u8; 32],
            open_group: Lsn(0),
        }
    }

    /// Takes a file whose baselines begin and end as said; 0 is none.
    fn take(cursor: &mut StoreCursor, file: u64, begun: u64, ended: u64) -> bool {
        cursor.take(&StoredFile {
            position: position(file),
            baseline_begun: Lsn(begun),
            baseline_ended: Lsn(ended),
            created: Timestamp(file * 10),
        })
    }

    fn numbers(cursor: &StoreCursor) -> (u64, u64, u64) {
        let number = |file: FileNumber| file.get();
        (
            number(cursor.received.file),
            number(cursor.base),
            number(cursor.next),
        )
    }

    #[test]
    fn it_comes_back_and_no_altered_one_is_taken() {
        assert_exact(&StoreCursor {
            volume: VolumeId([0xab; 16]),
            received: position(9),
            base: FileNumber(3),
            next: FileNumber(8),
            next_lsn: Lsn(777),
            base_time: Timestamp(300),
            next_time: Timestamp(800),
        });
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let good = StoreCursor {
            received: position(9),
            base: FileNumber(3),
            next: FileNumber(8),
            next_lsn: Lsn(777),
            ..StoreCursor::new(VolumeId([1; 16]))
        };
        let base = |number| StoreCursor {
            base: FileNumber(number),
            ..good
        };
        let next = |number, lsn| StoreCursor {
            next: FileNumber(number),
            next_lsn: Lsn(lsn),
            ..good
        };
        for bad in [
            base(8),
            base(10),
            next(10, 777),
            next(0, 777),
            next(8, 0),
            next(8, 901),
        ] {
            assert!(StoreCursor::decode(&bad.encode()).is_err(), "{bad:?}");
        }
        for right in [base(0), next(0, 0), good] {
            assert_eq!(StoreCursor::decode(&right.encode()).unwrap(), right);
        }
    }

    #[test]
    fn it_begins_with_a_baseline_and_counts_what_follows() {
        let mut cursor = StoreCursor::new(VolumeId([1; 16]));
        assert!(!take(&mut cursor, 1, 0, 0));
        assert!(take(&mut cursor, 4, 400, 0));
        assert!(!take(&mut cursor, 6, 0, 0));
        assert!(take(&mut cursor, 5, 0, 0));
        assert_eq!(numbers(&cursor), (5, 0, 4));
        let mirror = cursor.as_mirror();
        assert_eq!(
            (mirror.base, mirror.applied),
            (FileNumber(4), Position::START)
        );
        // one that was given up before
        assert!(take(&mut cursor, 6, 0, 300));
        assert_eq!(numbers(&cursor), (6, 0, 4));
        assert!(take(&mut cursor, 7, 0, 400));
        assert_eq!(numbers(&cursor), (7, 4, 0));
        assert_eq!(
            (cursor.base_time, cursor.next_time),
            (Timestamp(40), Timestamp(0))
        );
        let mirror = cursor.as_mirror();
        assert_eq!((mirror.base, mirror.applied), (FileNumber(0), position(7)));
    }

    #[test]
    fn a_later_baseline_takes_the_place_of_the_last_one_at_its_end() {
        let mut cursor = StoreCursor::new(VolumeId([1; 16]));
        assert!(take(&mut cursor, 1, 100, 100));
        assert!(take(&mut cursor, 2, 200, 0));
        assert_eq!(numbers(&cursor), (2, 1, 2));
        // given up, and begun anew
        assert!(take(&mut cursor, 3, 300, 0));
        assert_eq!(numbers(&cursor), (3, 1, 3));
        assert!(take(&mut cursor, 4, 0, 300));
        assert_eq!(numbers(&cursor), (4, 3, 0));
    }

    #[test]
    fn where_files_are_missing_it_begins_anew() {
        let mut cursor = StoreCursor::new(VolumeId([1; 16]));
        assert!(take(&mut cursor, 1, 100, 100));
        assert!(!take(&mut cursor, 1, 100, 100));
        assert!(!take(&mut cursor, 3, 0, 0));
        assert!(take(&mut cursor, 4, 400, 0));
        assert_eq!(numbers(&cursor), (4, 0, 4));
    }
}

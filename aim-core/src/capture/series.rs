//! The series of journal files on the source: the open one, and how it is sealed and followed.
//!
//! The steps of sealing, and what a restart does after a stop between them, are in
//! `docs/consistency.md`, "Sealing a file on the source". A step that fails for want of room is
//! done again; after any other failure the file is brought into [safety](super::rescue) before
//! the series goes on.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::room::{Fill, used_up};
use super::{JournalPolicy, SealPolicy, SeriesError};
use crate::clock::Clock;
use crate::cursor::Position;
use crate::failpoint::{Failpoint, reach};
use crate::format::Kind;
use crate::intercept::Steady;
use crate::journal::{FileName, OpenFile, OpenSpec, Record, SealedFile};
use crate::spool::SourceSpool;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp, VolumeId};

/// IOCBs of the first file, one page.
const CAPACITY_MIN: u32 = 64;
/// How many times more IOCBs a file gets whose predecessor had too few.
const GROWTH: u32 = 8;
/// How long a measurement of the journal's room is good, in nanoseconds.
const MEASURE_EVERY: u64 = 1_000_000_000;
/// Records that bridge a hole and are appended at once.
const BRIDGE_RECORDS: u64 = 1024;

/// The journal of a volume from its last sealed file on.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) spool: SourceSpool,
    policy: SealPolicy,
    journal: JournalPolicy,
    pub(super) clock: Box<dyn Clock>,
    pub(super) stage: FileStage,
    /// The last file that `sealed.cursor` names.
    pub(super) sealed: Position,
    pub(super) last: Lsn,
    pub(super) last_time: Timestamp,
    /// The begin of the group that is open behind `last`; 0 if none is.
    pub(super) open_group: Lsn,
    /// IOCBs that the next file gets.
    capacity: u32,
    /// As measured, and the files that were sealed since.
    fill: Fill,
    /// When it has to be measured again.
    measure_at: Timestamp,
    /// A file that was taken up late could not be read.
    is_damaged: bool,
}

/// How far the file behind the last sealed one is.
#[derive(Debug)]
pub(super) enum FileStage {
    /// Nobody knows: `open/` could not be looked at.
    Unseen,
    /// There is none: nothing was appended since the last one was sealed.
    None,
    /// It takes records; the time of its first one.
    Open(Box<OpenFile>, Timestamp),
    /// Sealing it failed for want of room: it must be read again.
    Unfinished(FileName),
    /// What the medium holds of it is unknown.
    Unsure(FileName),
    /// Its content is whole; cursor and name are not.
    Sealed(SealedFile),
}

/// What became of the open file of the one before.
#[derive(Debug)]
pub(super) enum TakenUp {
    /// Nothing of it is lost.
    Whole,
    /// It can't be read, and what it held is unknown.
    Damaged,
    /// The file system failed; it will be tried again before the series goes on.
    Later(SeriesError),
}

impl Series {
    /// Takes up the series where it ended: goes on with a sealing that was interrupted, and brings
    /// an open file into safety. Says how that went.
    ///
    /// # Errors
    ///
    /// Where the journal folder is not what it should be. A file system that can't be written is
    /// none: that may pass.
    pub(super) fn resume(
        spool: SourceSpool,
        policy: SealPolicy,
        journal: JournalPolicy,
        clock: Box<dyn Clock>,
    ) -> Result<(Self, TakenUp), SeriesError> {
        let sealed = spool.sealed()?;
        let mut series = Self {
            stage: FileStage::None,
            sealed,
            last: sealed.lsn,
            last_time: Timestamp(0),
            open_group: sealed.open_group,
            capacity: CAPACITY_MIN,
            fill: Fill::default(),
            measure_at: Timestamp(0),
            is_damaged: false,
            spool,
            policy,
            journal,
            clock,
        };
        let taken_up = match series.take_up_open_file() {
            Ok(is_damaged) if is_damaged => TakenUp::Damaged,
            Ok(_) => TakenUp::Whole,
            Err(error) if error.is_of_file_system() => TakenUp::Later(error),
            Err(error) => return Err(error),
        };
        Ok((series, taken_up))
    }

    /// Says where the payloads will lie.
    pub(super) fn hold(&self, payloads: &Arc<dyn Steady>) {
        self.spool.open_folder().hold(payloads);
    }

    /// Appends the first records of `records`, as many as go into one file; at least one. They
    /// survive the death of the process. Returns how many there were.
    pub(super) fn append(&mut self, records: &[Record<'_>]) -> Result<usize, SeriesError> {
        let Some(first) = records.first() else {
            return Ok(0);
        };
        if begins_file(first) {
            // what a mirror applies as one then begins with the group or the baseline
            self.seal()?;
        }
        let next_begin = records.iter().skip(1).position(begins_file);
        let records = &records[..next_begin.map_or(records.len(), |index| index + 1)];
        let file = self.file_for(first)?;
        let count = file.fitting(records);
        file.append(&records[..count])?;
        self.open_group = file.open_group();
        self.last = Lsn(first.lsn.get() + count as u64 - 1);
        self.last_time = records[count - 1].time;
        Ok(count)
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self) -> Result<(), SeriesError> {
        if let FileStage::Open(file, _) = &mut self.stage {
            file.sync()?;
        }
        Ok(())
    }

    /// Makes the next sync cheap, if they come often.
    pub(super) fn write_ahead(&mut self) -> Result<(), SeriesError> {
        if let FileStage::Open(file, _) = &mut self.stage {
            file.write_ahead()?;
        }
        Ok(())
    }

    /// Seals the open file if it is old enough, and goes on with a sealing that had no room. Says
    /// whether there was something to do.
    pub(super) fn seal_if_due(&mut self) -> Result<bool, SeriesError> {
        let is_due = self.seal_due_in() == Some(Duration::ZERO);
        if is_due {
            self.seal()?;
        }
        Ok(is_due)
    }

    /// How long until the open file has to be sealed; `None` if there is none.
    pub(super) fn seal_due_in(&self) -> Option<Duration> {
        match &self.stage {
            FileStage::None => None,
            FileStage::Open(_, first) => {
                let age = self.clock.now().get().saturating_sub(first.get());
                Some(self.policy.age.saturating_sub(Duration::from_nanos(age)))
            }
            FileStage::Unseen
            | FileStage::Unfinished(_)
            | FileStage::Unsure(_)
            | FileStage::Sealed(_) => Some(Duration::ZERO),
        }
    }

    /// Seals what is open.
    pub(super) fn close(&mut self) -> Result<(), SeriesError> {
        self.seal()
    }

    /// Whether records were lost to damage since this was asked last.
    pub(super) fn take_damage(&mut self) -> bool {
        std::mem::take(&mut self.is_damaged)
    }

    /// Nothing more is appended for now. After any error but a want of room, nobody knows what the
    /// medium holds of the open file.
    pub(super) fn leave(&mut self, error: &SeriesError) {
        if error.may_pass() {
            return;
        }
        self.stage = match std::mem::replace(&mut self.stage, FileStage::None) {
            FileStage::Open(file, _) => FileStage::Unsure(file.name()),
            FileStage::Unfinished(name) => FileStage::Unsure(name),
            stage => stage,
        };
    }

    /// Whether the journal has so much room that it is worth while to capture again.
    pub(super) fn has_room_again(&mut self) -> Result<bool, SeriesError> {
        self.measure()?;
        Ok(self.fill.allows_again(self.policy.bytes.get()))
    }

    /// Goes on behind the transactions `lost`, which were not captured: begins a group in the place
    /// of the first of them, unless one is open. Durable when this returns.
    pub(super) fn bridge(
        &mut self,
        lost: RangeInclusive<u64>,
        hole: bool,
    ) -> Result<(), SeriesError> {
        let time = self.last_time.max(self.clock.now());
        let mut next = *lost.start();
        while next <= *lost.end() {
            let records: Vec<_> = (next..=*lost.end())
                .take(BRIDGE_RECORDS as usize)
                .map(|lsn| {
                    let begins = lsn == *lost.start() && self.open_group == Lsn(0);
                    let kind = match begins {
                        true => Kind::GroupBegin { hole },
                        false => Kind::Void,
                    };
                    bare_record(Lsn(lsn), kind, time)
                })
                .collect();
            next += self.append(&records)? as u64;
        }
        self.pass(Failpoint::HoleBridged)?;
        self.sync()?;
        self.pass(Failpoint::HoleSynced)
    }

    fn pass(&self, point: Failpoint) -> Result<(), SeriesError> {
        reach(point).map_err(|source| self.spool_error(source))
    }

    pub(super) fn volume(&self) -> VolumeId {
        self.spool.identity().id
    }

    /// The last transaction in the journal.
    pub(super) fn last(&self) -> Lsn {
        self.last
    }

    pub(super) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// The begin of the group that is open behind the last transaction; 0 if none is.
    pub(super) fn open_group(&self) -> Lsn {
        self.open_group
    }

    /// The last sealed file.
    pub(super) fn sealed(&self) -> Position {
        self.sealed
    }

    /// Time of the oldest transaction that is in no sealed file.
    pub(super) fn oldest_unsealed(&self) -> Option<Timestamp> {
        match &self.stage {
            FileStage::Open(_, first) => Some(*first),
            _ => None,
        }
    }

    /// How full the journal is.
    pub(super) fn fill(&self) -> Fill {
        self.fill
    }

    /// The open file, if `first` fits in it; else a new one, behind the sealed one.
    fn file_for(&mut self, first: &Record<'_>) -> Result<&mut OpenFile, SeriesError> {
        let has_room = match &self.stage {
            FileStage::Open(file, _) => file.fitting(std::slice::from_ref(first)) == 1,
            _ => false,
        };
        if !has_room {
            self.seal()?;
            let spec = self.next_file();
            let target = spec.target_size.get();
            if self.clock.now() >= self.measure_at || !self.fill.allows(target) {
                self.measure()?;
            }
            if !self.fill.allows(target) {
                return Err(self.spool_error(used_up(self.fill)));
            }
            let file = OpenFile::create(&**self.spool.open_folder(), &spec)?;
            self.stage = FileStage::Open(Box::new(file), first.time);
        }
        match &mut self.stage {
            FileStage::Open(file, _) => Ok(file),
            _ => unreachable!("opened above"),
        }
    }

    /// Looks at all files that wait to be shipped: not for each new one.
    fn measure(&mut self) -> Result<(), SeriesError> {
        let limit = self.journal.bytes.map(ByteLen::get);
        self.fill = Fill::measure(&self.spool, limit)?;
        self.measure_at = Timestamp(self.clock.now().get().saturating_add(MEASURE_EVERY));
        Ok(())
    }

    fn next_file(&self) -> OpenSpec {
        OpenSpec {
            volume: self.spool.identity().clone(),
            after: self.sealed,
            iocb_capacity: self.capacity,
            target_size: self.policy.bytes,
            created: self.clock.now(),
            floor: self.last_time,
        }
    }

    /// Seals the open file, if there is one, from whatever step it is at.
    pub(super) fn seal(&mut self) -> Result<(), SeriesError> {
        loop {
            match std::mem::replace(&mut self.stage, FileStage::None) {
                FileStage::None => return Ok(()),
                FileStage::Unseen => self.is_damaged |= self.take_up_open_file()?,
                FileStage::Unfinished(name) => {
                    self.stage = FileStage::Unfinished(name);
                    self.recover(name)?;
                }
                FileStage::Unsure(name) => {
                    self.stage = FileStage::Unsure(name);
                    self.is_damaged |= self.rescue(name)?;
                }
                FileStage::Open(file, _) => {
                    self.capacity = next_capacity(&file);
                    self.fill.used += file.bytes().get();
                    self.stage = FileStage::Unfinished(file.name());
                    self.stage = FileStage::Sealed(file.seal(self.clock.now())?);
                }
                FileStage::Sealed(sealed) => {
                    self.stage = FileStage::Sealed(sealed);
                    self.spool.set_sealed(sealed.position)?;
                    self.sealed = sealed.position;
                    self.publish(&sealed)?;
                    self.stage = FileStage::None;
                }
            }
        }
    }

    fn publish(&self, sealed: &SealedFile) -> Result<(), SeriesError> {
        let open = &**self.spool.open_folder();
        let published = sealed.publish(open, &**self.spool.outgoing_folder());
        published.map_err(|source| self.open_error(sealed.name, source))
    }

    pub(super) fn open_error(&self, name: FileName, source: io::Error) -> SeriesError {
        let folder = self.spool.open_folder().path();
        SeriesError::Io {
            folder,
            name: name.open(),
            source,
        }
    }

    fn spool_error(&self, source: io::Error) -> SeriesError {
        SeriesError::Io {
            folder: self.spool.root().path(),
            name: "the journal".to_owned(),
            source,
        }
    }
}

fn begins_file(record: &Record<'_>) -> bool {
    matches!(record.kind, Kind::GroupBegin { .. } | Kind::BaselineBegin)
}

/// A record without a range.
fn bare_record(lsn: Lsn, kind: Kind, time: Timestamp) -> Record<'static> {
    Record {
        lsn,
        device: 0,
        kind,
        fua: false,
        offset: ByteOffset(0),
        len: ByteLen(0),
        payload: &[],
        time,
    }
}

/// Room for a quarter more records than the last file had, or for many more if it ran out of IOCBs
/// before it was full: few unused IOCBs are shipped, and a burst has what it needs within some files.
fn next_capacity(file: &OpenFile) -> u32 {
    let count = file.count();
    let wanted = if count == file.capacity() {
        count * GROWTH
    } else {
        count + count / 4
    };
    wanted.max(CAPACITY_MIN)
}

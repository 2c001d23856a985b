//! The journal file that is being written.
//!
//! Durability, in the order in which things happen:
//!
//! 1. `create`: header and name are durable before a record is taken.
//! 2. `append`: payloads and their IOCBs reach the file system, in any order, past its cache where it
//!    takes that. They survive the death of the process. IOCB pages are rewritten in place: what
//!    precedes the new IOCBs stays identical, so a torn write can only lose the new ones. An IOCB
//!    without its payload is not believed: [`recover`](super::recover) looks at the payload's checksum.
//! 3. `sync`: everything appended survives a power cut. `write_ahead` makes the next one cheap.
//! 4. `seal`: the header's first sector changes in one write, then the file is synced. Only a
//!    sealed header says whether there are group or verify records in the file.
//! 5. `publish`: the sealed name, durably.
//!
//! A crash before 4 is done leaves an open file, which [`recover`](super::recover) takes up
//! again; so does one that leaves a sealed header in front of content that is not whole.

mod create;
mod seal;

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::ahead::Ahead;
use super::name::FileName;
use super::pages::Pages;
use super::record::Record;
use super::sealed::file_name;
use super::write_error::{WriteError, is_out_of_space};
use crate::failpoint::{Failpoint, reach};
use crate::format::limits::{IOCB_BYTES, IOCBS_PER_PAGE, MAX_FILE_BYTES, MAX_PAYLOAD};
use crate::format::{FileSeed, Header, Sequence};
use crate::fs::{DirFile, Directory, Part};
use crate::units::{ByteLen, Lsn, Timestamp};

/// A journal file that takes records. It has the name [`FileName::open`].
#[derive(Debug)]
pub struct OpenFile {
    file: Arc<dyn DirFile>,
    header: Header,
    seed: FileSeed,
    /// The whole IOCB portion as it should be: zero from `count` on.
    iocbs: Pages,
    count: u32,
    /// IOCBs before this one may have other bytes in the file than in `iocbs`.
    stale_end: u32,
    sequence: Sequence,
    /// IOCBs of the append that is under way.
    encoded: Vec<u8>,
    /// The file may grow to this, one payload of an otherwise empty file excepted.
    target_size: u64,
    /// No record gets an earlier time.
    floor: Timestamp,
    durable_lsn: Lsn,
    ahead: Ahead,
    poisoned: bool,
}

impl OpenFile {
    /// Takes up a file whose first `count` IOCBs are known to be good; `iocbs` is zero behind
    /// them. Nothing of it counts as durable, and the file may grow to the limit.
    pub(super) fn from_parts(
        file: Arc<dyn DirFile>,
        header: Header,
        iocbs: Pages,
        count: u32,
        sequence: Sequence,
    ) -> Self {
        Self {
            ahead: Ahead::of_found(sequence.next_place()),
            file,
            seed: header.file_seed(),
            durable_lsn: Lsn(header.first_lsn.get() - 1),
            floor: sequence.last_time(),
            target_size: MAX_FILE_BYTES,
            stale_end: count,
            header,
            iocbs,
            count,
            sequence,
            encoded: Vec::new(),
            poisoned: false,
        }
    }

    /// Says that IOCBs up to `end` may have bytes in the file that are not to stay.
    pub(super) fn with_stale(mut self, end: u32) -> Self {
        self.stale_end = self.stale_end.max(end);
        self
    }

    /// The name that it gets when it is sealed.
    pub fn name(&self) -> FileName {
        file_name(&self.header)
    }

    /// The place that it stands behind.
    pub fn follows(&self) -> (Lsn, crate::format::Digest) {
        (Lsn(self.header.first_lsn.get() - 1), self.header.previous)
    }

    /// How many records it has room for.
    pub fn capacity(&self) -> u32 {
        self.header.layout.iocb_capacity
    }

    /// How many records it holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The last LSN that was appended; that of the file before if there is none.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.sequence.next_lsn().get() - 1)
    }

    /// The last LSN that [`sync`](Self::sync) has made durable.
    pub fn durable_lsn(&self) -> Lsn {
        self.durable_lsn
    }

    /// LSN of the group begin of the group that is open behind the last record; 0: none.
    pub fn open_group(&self) -> Lsn {
        self.sequence.open_group()
    }

    /// Size that the file would have if it were sealed now.
    pub fn bytes(&self) -> ByteLen {
        ByteLen(self.sequence.next_place())
    }

    /// When the file was created.
    pub fn created(&self) -> Timestamp {
        self.header.created
    }

    /// Whether an error has left its content unknown.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Whether one more record with this payload fits.
    pub fn has_room(&self, payload: ByteLen) -> bool {
        self.has_room_for(1, payload.get())
    }

    /// How many of `records`, from the first on, fit in the file together.
    pub fn fitting(&self, records: &[Record<'_>]) -> usize {
        let mut bytes = 0;
        let fits = |(index, record): &(usize, &Record<'_>)| {
            bytes += record.payload.len() as u64;
            self.has_room_for(index + 1, bytes)
        };
        records.iter().enumerate().take_while(fits).count()
    }

    /// Appends records. The payloads are written from where they lie, in one vectored write, and
    /// their IOCBs at the same time; when this returns the records survive the death of the process, and after
    /// [`sync`](Self::sync) a power cut.
    ///
    /// # Errors
    ///
    /// After [`WriteError::Io`] the file is poisoned, unless the medium is full
    /// ([`WriteError::is_out_of_space`]): then nothing was counted and the call may be repeated.
    /// The other errors change nothing.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<(), WriteError> {
        self.check_usable()?;
        let sequence = self.plan(records)?;
        let first = self.count;
        let end = first + records.len() as u32;
        match self.write(first, end, records) {
            Ok(()) => {
                self.count = end;
                self.stale_end = self.stale_end.max(end);
                self.sequence = sequence;
                Ok(())
            }
            Err(source) => {
                self.iocbs[slot(first)..slot(end)].fill(0);
                self.stale_end = self.stale_end.max(end);
                self.poisoned = !is_out_of_space(&source);
                Err(self.io_error("writing", source))
            }
        }
    }

    /// Makes everything appended so far durable and returns its last LSN.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`] poisons the file: a second sync would prove nothing.
    pub fn sync(&mut self) -> Result<Lsn, WriteError> {
        self.check_usable()?;
        if self.durable_lsn != self.last_lsn() {
            let synced = self.file.sync_data().map_err(lost);
            if let Err(source) = synced.and_then(|()| reach(Failpoint::AppendSynced)) {
                self.poisoned = true;
                return Err(self.io_error("sync", source));
            }
            self.durable_lsn = self.last_lsn();
        }
        Ok(self.durable_lsn)
    }

    /// Writes zeroes where the next data go, if syncs come often. A file system notes in its own
    /// books which blocks were written for the first time, and a sync has to write those books
    /// too: several writes more, and several times the wait. So it is called behind a sync.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`], as for [`append`](Self::append).
    pub fn write_ahead(&mut self) -> Result<(), WriteError> {
        let end = self.sequence.next_place();
        if self.poisoned {
            return Ok(());
        }
        match self.ahead.write_zeroes(&*self.file, end, self.target_size) {
            Ok(()) => Ok(()),
            // nobody has asked for it
            Err(source) if is_out_of_space(&source) => Ok(()),
            Err(source) => {
                self.poisoned = true;
                Err(self.io_error("writing", source))
            }
        }
    }

    /// Removes the file from `directory` (`open/`), which must be the one that it was made in.
    /// Durable when this returns.
    pub fn remove(self, directory: &dyn Directory) -> Result<(), WriteError> {
        let removed = directory.remove(&self.name().open());
        removed
            .and_then(|()| directory.sync())
            .map_err(|source| self.io_error("removal", source))
    }

    /// Checks all records and encodes their IOCBs; gives the sequence behind them.
    fn plan(&mut self, records: &[Record<'_>]) -> Result<Sequence, WriteError> {
        let name = self.name();
        let bytes: u64 = records.iter().map(|r| r.payload.len() as u64).sum();
        if !self.has_room_for(records.len(), bytes) {
            let records = records.len();
            return Err(WriteError::Full {
                name,
                records,
                bytes,
            });
        }
        let mut sequence = self.sequence.clone();
        self.encoded.clear();
        for record in records {
            let floor = self.floor.max(sequence.last_time());
            let iocb = record.iocb(sequence.next_place(), floor);
            let lsn = record.lsn;
            let checked = record.check_payload().and_then(|()| sequence.step(&iocb));
            checked.map_err(|source| WriteError::Record { name, lsn, source })?;
            self.encoded.extend_from_slice(&iocb.encode(self.seed));
        }
        Ok(sequence)
    }

    fn write(&mut self, first: u32, end: u32, records: &[Record<'_>]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        // else IOCBs of an append that failed could be found behind the new ones
        self.clear_stale()?;
        let payloads: Vec<IoSlice<'_>> = records
            .iter()
            .filter(|record| !record.payload.is_empty())
            .map(|record| IoSlice::new(record.payload))
            .collect();
        if !payloads.is_empty() {
            let bytes: u64 = payloads.iter().map(|payload| payload.len() as u64).sum();
            let end = self.sequence.next_place() + bytes;
            self.ahead.lengthen(&*self.file, end, self.target_size)?;
        }
        self.iocbs[slot(first)..slot(end)].copy_from_slice(&self.encoded);
        let (pages, place) = self.iocb_pages(first, end);
        let parts = [
            Part {
                offset: self.sequence.next_place(),
                slices: &payloads,
            },
            Part {
                offset: place,
                slices: &[IoSlice::new(pages)],
            },
        ];
        match payloads.is_empty() {
            true => self.file.write_parts(&parts[1..])?,
            false => self.file.write_parts(&parts)?,
        }
        reach(Failpoint::AppendWritten)
    }

    /// The whole pages in which the IOCBs from `first` to before `end` lie, and their place.
    fn iocb_pages(&self, first: u32, end: u32) -> (&[u8], u64) {
        let start = slot(first - first % IOCBS_PER_PAGE);
        // a foreign writer's last page may be a part of one
        let stop = slot(end.next_multiple_of(IOCBS_PER_PAGE)).min(self.iocbs.len());
        let place = self.header.layout.iocb_offset + start as u64;
        (&self.iocbs[start..stop], place)
    }

    /// Makes the unused IOCBs zero in the file too.
    fn clear_stale(&mut self) -> io::Result<()> {
        if self.stale_end > self.count {
            let (pages, place) = self.iocb_pages(self.count, self.stale_end);
            self.file.write_all_at(&[IoSlice::new(pages)], place)?;
            self.stale_end = self.count;
        }
        Ok(())
    }

    fn has_room_for(&self, records: usize, payload: u64) -> bool {
        let free = (self.header.layout.iocb_capacity - self.count) as usize;
        let end = self.sequence.next_place().saturating_add(payload);
        let is_first = self.count == 0 && records == 1 && payload <= MAX_PAYLOAD.into();
        records <= free && end <= MAX_FILE_BYTES && (end <= self.target_size || is_first)
    }

    fn check_usable(&self) -> Result<(), WriteError> {
        match self.poisoned {
            false => Ok(()),
            true => Err(WriteError::Poisoned { name: self.name() }),
        }
    }

    fn io_error(&self, step: &'static str, source: io::Error) -> WriteError {
        let name = self.name();
        WriteError::Io { step, name, source }
    }
}

/// The error of a sync that failed, also of one that failed for want of room: unlike a write it
/// can't be done again, since what it was to write may be gone.
fn lost(error: io::Error) -> io::Error {
    io::Error::other(error)
}

/// Where the IOCB with this index starts in the IOCB portion.
fn slot(index: u32) -> usize {
    index as usize * IOCB_BYTES
}

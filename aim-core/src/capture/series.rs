//! The series of journal files on the source: the open one, and how it is sealed and followed.
//!
//! The steps of sealing, and what a restart does after a stop between them, are in
//! `docs/consistency.md`, "Sealing a file on the source". A step that fails for want of room is
//! done again; any other failure ends the series.

use std::io;
use std::time::Duration;

use super::note::Note;
use super::{CaptureState, SealPolicy, SeriesError};
use crate::clock::Clock;
use crate::cursor::Position;
use crate::fs::Directory;
use crate::journal::{FileName, OpenFile, OpenSpec, Record, Recovered, SealedFile, recover};
use crate::spool::SourceSpool;
use crate::units::{Lsn, Timestamp, VolumeId};

/// IOCBs of the first file, one page.
const CAPACITY_MIN: u32 = 64;

/// The journal of a volume from its last sealed file on.
#[derive(Debug)]
pub(super) struct Series {
    spool: SourceSpool,
    policy: SealPolicy,
    clock: Box<dyn Clock>,
    stage: FileStage,
    /// The last file that `sealed.cursor` names.
    sealed: Position,
    last: Lsn,
    last_time: Timestamp,
    /// IOCBs that the next file gets.
    capacity: u32,
    uncertain: Option<String>,
    lost: Option<String>,
}

/// How far the file behind the last sealed one is.
#[derive(Debug)]
enum FileStage {
    /// There is none: nothing was appended since the last one was sealed.
    None,
    /// It takes records; the time of its first one.
    Open(Box<OpenFile>, Timestamp),
    /// Sealing it failed for want of room: it must be read again.
    Unfinished(FileName),
    /// Its content is whole; cursor and name are not.
    Sealed(SealedFile),
}

impl Series {
    /// Takes up the series where it ended: goes on with a sealing that was interrupted, and
    /// recovers an open file.
    pub(super) fn resume(
        spool: SourceSpool,
        policy: SealPolicy,
        clock: Box<dyn Clock>,
    ) -> Result<Self, SeriesError> {
        let sealed = spool.sealed()?;
        let mut series = Self {
            stage: FileStage::None,
            sealed,
            last: sealed.lsn,
            last_time: Timestamp(0),
            capacity: CAPACITY_MIN,
            uncertain: None,
            lost: None,
            spool,
            policy,
            clock,
        };
        series.uncertain = series.note(Note::Uncertain)?;
        series.lost = series.note(Note::Lost)?;
        if series.lost.is_none() {
            series.take_up_open_file()?;
        }
        Ok(series)
    }

    /// Notes that a capture runs. With `ring_found`, the staging ring of the one before was
    /// there, so that nothing acknowledged is missing; without, an unclean stop is uncertain.
    pub(super) fn begin(&mut self, ring_found: bool) -> Result<(), SeriesError> {
        if self.note(Note::Running)?.is_some() && !ring_found {
            self.note_uncertain("the machine went down, or the process without its staging ring");
        }
        self.set_note(Note::Running, "present while the volume is captured")
    }

    /// Appends the first records of `records`, as many as go into one file; at least one. They
    /// survive the death of the process. Returns how many there were.
    pub(super) fn append(&mut self, records: &[Record<'_>]) -> Result<usize, SeriesError> {
        let Some(first) = records.first() else {
            return Ok(0);
        };
        let count = if self.lost.is_some() {
            records.len()
        } else {
            let file = self.file_for(first)?;
            let count = file.fitting(records);
            file.append(&records[..count])?;
            count
        };
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

    /// Seals the open file if it is old enough, and goes on with a sealing that had no room.
    pub(super) fn seal_if_due(&mut self) -> Result<(), SeriesError> {
        match self.seal_due_in() {
            Some(Duration::ZERO) => self.seal(),
            _ => Ok(()),
        }
    }

    /// How long until the open file has to be sealed; `None` if there is none.
    pub(super) fn seal_due_in(&self) -> Option<Duration> {
        match &self.stage {
            FileStage::None => None,
            FileStage::Open(_, first) => {
                let age = self.clock.now().get().saturating_sub(first.get());
                Some(self.policy.age.saturating_sub(Duration::from_nanos(age)))
            }
            FileStage::Unfinished(_) | FileStage::Sealed(_) => Some(Duration::ZERO),
        }
    }

    /// Ends the capture: seals what is open and takes the note back that it runs.
    pub(super) fn close(&mut self) -> Result<(), SeriesError> {
        if self.lost.is_some() {
            return Ok(());
        }
        self.seal()?;
        self.note_error(Note::Running, Note::Running.remove(self.root()))
    }

    /// Source and mirror may differ: said until the volume is initialized anew. The first reason
    /// stays.
    pub(super) fn note_uncertain(&mut self, reason: &str) {
        if self.uncertain.is_some() {
            return;
        }
        tracing::error!(
            reason,
            "source and mirror may differ: the mirror needs a new copy"
        );
        if let Err(error) = self.set_note(Note::Uncertain, reason) {
            tracing::error!(%error, "the journal folder can't hold the note of it");
        }
        self.uncertain = Some(reason.to_owned());
    }

    /// Ends the series: the disk goes on, nothing more is captured.
    pub(super) fn give_up(&mut self, reason: &str) {
        if let Err(error) = self.set_note(Note::Lost, reason) {
            tracing::error!(%error, "the journal folder can't hold the note that capture ended");
        }
        self.stage = FileStage::None;
        self.lost = Some(reason.to_owned());
    }

    pub(super) fn state(&self) -> CaptureState {
        match &self.lost {
            None => CaptureState::Capturing,
            Some(reason) => CaptureState::Passthrough {
                reason: reason.clone(),
            },
        }
    }

    pub(super) fn uncertain(&self) -> Option<String> {
        self.uncertain.clone()
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

    /// The open file, if `first` fits in it; else a new one, behind the sealed one.
    fn file_for(&mut self, first: &Record<'_>) -> Result<&mut OpenFile, SeriesError> {
        let has_room = match &self.stage {
            FileStage::Open(file, _) => file.fitting(std::slice::from_ref(first)) == 1,
            _ => false,
        };
        if !has_room {
            self.seal()?;
            let spec = self.next_file();
            let file = OpenFile::create(&**self.spool.open_folder(), &spec)?;
            self.stage = FileStage::Open(Box::new(file), first.time);
        }
        match &mut self.stage {
            FileStage::Open(file, _) => Ok(file),
            _ => unreachable!("opened above"),
        }
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
    fn seal(&mut self) -> Result<(), SeriesError> {
        loop {
            match std::mem::replace(&mut self.stage, FileStage::None) {
                FileStage::None => return Ok(()),
                FileStage::Unfinished(name) => {
                    self.stage = FileStage::Unfinished(name);
                    self.recover(name)?;
                }
                FileStage::Open(file, _) => {
                    self.capacity = next_capacity(&file);
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

    fn open_error(&self, name: FileName, source: io::Error) -> SeriesError {
        let folder = self.spool.open_folder().path();
        SeriesError::Io {
            folder,
            name: name.open(),
            source,
        }
    }

    fn take_up_open_file(&mut self) -> Result<(), SeriesError> {
        let folder = self.spool.open_folder().clone();
        let io = |name: &str| {
            let (folder, name) = (folder.path(), name.to_owned());
            move |source| SeriesError::Io {
                folder,
                name,
                source,
            }
        };
        for text in folder.list().map_err(io("."))? {
            let name = FileName::parse_open(&text).ok();
            let expected = name.filter(|name| {
                name.volume == self.volume()
                    && name.epoch == self.spool.identity().epoch
                    && (name.number == self.sealed.file || name.number == self.sealed.file.next())
            });
            let Some(name) = expected else {
                let (folder, sealed) = (folder.path(), self.sealed);
                return Err(SeriesError::Stray {
                    folder,
                    name: text,
                    sealed,
                });
            };
            self.recover(name)?;
            self.seal()?;
        }
        Ok(())
    }

    /// Reads an open file again: to be appended to and sealed, already sealed, or empty.
    fn recover(&mut self, name: FileName) -> Result<(), SeriesError> {
        let folder = self.spool.open_folder().clone();
        self.stage = match recover(&*folder, name)? {
            Recovered::Open(file) if file.follows() == (self.sealed.lsn, self.sealed.digest) => {
                self.last = file.last_lsn();
                let created = file.created();
                FileStage::Open(file, created)
            }
            Recovered::Sealed(file)
                if file.position == self.sealed || file.position.lsn > self.sealed.lsn =>
            {
                self.last = file.position.lsn;
                self.last_time = file.last_time;
                FileStage::Sealed(file)
            }
            Recovered::Empty if name.number > self.sealed.file => {
                let removed = folder.remove(&name.open()).and_then(|()| folder.sync());
                removed.map_err(|source| self.open_error(name, source))?;
                FileStage::None
            }
            _ => {
                let (folder, sealed) = (folder.path(), self.sealed);
                return Err(SeriesError::Stray {
                    folder,
                    name: name.open(),
                    sealed,
                });
            }
        };
        Ok(())
    }

    fn root(&self) -> &dyn Directory {
        &**self.spool.root()
    }

    fn note(&self, note: Note) -> Result<Option<String>, SeriesError> {
        self.note_error(note, note.read(self.root()))
    }

    fn set_note(&self, note: Note, text: &str) -> Result<(), SeriesError> {
        self.note_error(note, note.write(self.root(), text))
    }

    fn note_error<T>(&self, note: Note, result: io::Result<T>) -> Result<T, SeriesError> {
        result.map_err(|source| SeriesError::Io {
            folder: self.root().path(),
            name: note.file().to_owned(),
            source,
        })
    }
}

/// Room for a quarter more records than the last file had, or for twice as many if it ran out of
/// IOCBs before it was full: few unused IOCBs are shipped, and a burst grows within some files.
fn next_capacity(file: &OpenFile) -> u32 {
    let count = file.count();
    let wanted = if count == file.capacity() {
        count * 2
    } else {
        count + count / 4
    };
    wanted.max(CAPACITY_MIN)
}

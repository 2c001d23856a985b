//! The series of journal files on the source: the open one, and how it is sealed and followed.
//!
//! The steps of sealing, and what a restart does after a stop between them, are in
//! `docs/consistency.md`, "Sealing a file on the source". A step that fails for want of room is
//! done again; any other failure ends the series.

use std::io;
use std::time::Duration;

use super::record::{Captured, Stage};
use super::staging::Staging;
use super::{CaptureState, SealPolicy};
use crate::clock::Clock;
use crate::cursor::Position;
use crate::format::Kind;
use crate::journal::{
    FileName, OpenFile, OpenSpec, Record, RecoverError, Recovered, SealedFile, WriteError, recover,
};
use crate::spool::{SourceSpool, SpoolError};
use crate::units::{ByteLen, Lsn, Timestamp, VolumeId};

/// IOCBs of the first file, one page.
const CAPACITY_MIN: u32 = 64;
/// Present while a capture runs: found at a start, the one before did not stop cleanly.
const RUNNING: &str = "capture.running";
/// Says why source and mirror may differ; stays until the volume is initialized anew.
const UNCERTAIN: &str = "capture.uncertain";
/// Says why capture ended for good.
const LOST: &str = "capture.lost";
/// Longest text of these that is read.
const NOTE_BYTES_MAX: usize = 4096;

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

/// Why the journal does not take a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The folder of the volume.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An open file that an unclean stop left behind.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A file or a note in the journal folder.
    #[error("{name} in {folder}")]
    Io {
        /// Folder.
        folder: std::path::PathBuf,
        /// File.
        name: String,
        /// What the file system said.
        source: io::Error,
    },
    /// A file lies in `open/` that is not the one behind the last sealed.
    #[error("{name} in {folder} does not follow {sealed}")]
    Stray {
        /// Folder.
        folder: std::path::PathBuf,
        /// File.
        name: String,
        /// The last sealed file.
        sealed: Position,
    },
}

impl SeriesError {
    /// Whether the same step may succeed later: the medium has no room now.
    pub(super) fn may_pass(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                );
            }
            cause = error.source();
        }
        false
    }
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
        series.uncertain = series.read_note(UNCERTAIN)?;
        series.lost = series.read_note(LOST)?;
        if series.lost.is_none() {
            series.take_up_open_file()?;
        }
        Ok(series)
    }

    /// Notes that a capture runs. With `ring_found`, the staging ring of the one before was
    /// there, so that nothing acknowledged is missing; without, an unclean stop is uncertain.
    pub(super) fn begin(&mut self, ring_found: bool) -> Result<(), SeriesError> {
        if self.read_note(RUNNING)?.is_some() && !ring_found {
            self.note_uncertain("the machine went down, or the process without its staging ring");
        }
        self.write_note(RUNNING, "present while the volume is captured")
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
            let has_room = match &self.stage {
                FileStage::Open(file, _) => file.fitting(&records[..1]) == 1,
                _ => false,
            };
            if !has_room {
                self.start_file(first.time)?;
            }
            let FileStage::Open(file, _) = &mut self.stage else {
                unreachable!("start_file() leaves an open file");
            };
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
        self.remove_note(RUNNING)
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
        if let Err(error) = self.write_note(UNCERTAIN, reason) {
            tracing::error!(%error, "the journal folder can't hold the note of it");
        }
        self.uncertain = Some(reason.to_owned());
    }

    /// Ends the series: the disk goes on, nothing more is captured.
    pub(super) fn give_up(&mut self, reason: &str) {
        if let Err(error) = self.write_note(LOST, reason) {
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

    fn start_file(&mut self, first_time: Timestamp) -> Result<(), SeriesError> {
        self.seal()?;
        let identity = self.spool.identity();
        let spec = OpenSpec {
            volume: identity.clone(),
            after: self.sealed,
            iocb_capacity: self.capacity,
            target_size: ByteLen(self.policy.bytes.get()),
            created: self.clock.now(),
            floor: self.last_time,
        };
        let file = OpenFile::create(&**self.spool.open_folder(), &spec)?;
        self.stage = FileStage::Open(Box::new(file), first_time);
        Ok(())
    }

    /// Seals the open file, if there is one, from whatever step it is at.
    fn seal(&mut self) -> Result<(), SeriesError> {
        if let FileStage::Unfinished(name) = &self.stage {
            let name = *name;
            self.recover(name)?;
        }
        if let FileStage::Open(..) = &self.stage {
            let FileStage::Open(file, _) = std::mem::replace(&mut self.stage, FileStage::None)
            else {
                unreachable!("matched above");
            };
            self.capacity = next_capacity(&file);
            let name = file.name();
            match file.seal(self.clock.now()) {
                Ok(sealed) => self.stage = FileStage::Sealed(sealed),
                Err(error) => {
                    self.stage = FileStage::Unfinished(name);
                    return Err(error.into());
                }
            }
        }
        if let FileStage::Sealed(sealed) = &self.stage {
            let sealed = *sealed;
            self.spool.set_sealed(sealed.position)?;
            self.sealed = sealed.position;
            self.publish(&sealed)?;
            self.stage = FileStage::None;
        }
        Ok(())
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

    fn read_note(&self, name: &str) -> Result<Option<String>, SeriesError> {
        match self.spool.root().read_small(name, NOTE_BYTES_MAX) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.note_error(name, source)),
        }
    }

    fn write_note(&self, name: &str, text: &str) -> Result<(), SeriesError> {
        let written = self
            .spool
            .root()
            .write_atomic(name, format!("{text}\n").as_bytes());
        written.map_err(|source| self.note_error(name, source))
    }

    fn remove_note(&self, name: &str) -> Result<(), SeriesError> {
        let root = self.spool.root();
        let removed = match root.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed
            .and_then(|()| root.sync())
            .map_err(|source| self.note_error(name, source))
    }

    fn note_error(&self, name: &str, source: io::Error) -> SeriesError {
        SeriesError::Io {
            folder: self.spool.root().path(),
            name: name.to_owned(),
            source,
        }
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

/// What is captured as the journal takes it, the payloads where they lie in the ring.
pub(super) fn staged_records<'a>(staging: &'a Staging, captured: &[Captured]) -> Vec<Record<'a>> {
    captured
        .iter()
        .map(|captured| staged_record(staging, captured))
        .collect()
}

fn staged_record<'a>(staging: &'a Staging, captured: &Captured) -> Record<'a> {
    let request = &captured.request;
    let kind = match captured.stage {
        Stage::Done => Kind::of(request.operation),
        Stage::InFlight | Stage::Failed => None,
    };
    let mut record = Record {
        lsn: captured.lsn,
        device: request.device,
        kind: Kind::Void,
        fua: false,
        offset: request.offset,
        len: request.len,
        payload: &[],
        time: captured.time,
    };
    if let Some(kind) = kind {
        record.kind = kind;
        record.fua = request.fua;
        if kind == Kind::Write {
            // SAFETY: the payload was frozen when it was admitted, and is thawed only after the
            // journal has taken the records that are made here.
            record.payload =
                unsafe { staging.payload(captured.payload, request.len.get() as usize) };
        }
    }
    record
}

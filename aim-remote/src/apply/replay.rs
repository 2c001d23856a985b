//! Applying what has been received.

use std::sync::atomic::Ordering;

use aim_core::cursor::{MirrorCursor, Position};
use aim_core::failpoint::Failpoint;
use aim_core::journal::{FileName, ParsedFile, ReadError};
use aim_core::replay::{Replay, ReplayError, Run};
use aim_core::units::FileNumber;

use super::ApplyError;
use super::arrived::Arrived;
use super::receive::{Mirror, pass};
use crate::coordinator::chain;

impl Mirror {
    /// Applies the run that comes next, if all of its files have been received: files that can be
    /// applied one by one, as many as are there up to a GiB; and those of a group. Says whether
    /// something was done.
    pub(super) fn apply_next(&self, replay: &mut Replay) -> Result<bool, ApplyError> {
        // what was found at the start may not be durable, and what it covers is about to go
        let cursor = self.cursor.update(|_| {}).map_err(ApplyError::Cursor)?;
        // also what was applied before a crash and not yet removed
        self.remove_applied(&cursor)?;
        let mut run = self.planned(replay, &cursor);
        let planned = self.plan(replay, &mut run, &cursor);
        if !run.cut_to_complete()
            && let Err(fault) = planned
        {
            return self.mend(&run, fault);
        }
        // what is wrong behind it comes to light again when it has its turn
        self.shared.note_run(&run);
        if !run.is_complete() {
            self.keep_planned(run);
            return self.answer(replay);
        }
        let applied = self.apply_run(replay, &run);
        // a part of it may be applied even if not all is
        self.shared.note_differences(replay.differences());
        match applied {
            Ok(()) => {}
            Err(ReplayError::Stopped) => return Ok(false),
            Err(error) => return self.mend(&run, Fault::of(error, &run)),
        }
        let cursor = self.cursor.get();
        tracing::debug!(files = run.files().len(), applied = %cursor.applied, "applied");
        self.shared.note_run(&replay.start_run());
        self.remove_applied(&cursor)?;
        self.note_waiting();
        if self.shared.lock().missing.is_some() {
            // a baseline that lies there has waited for this
            self.arrived.hint();
        }
        Ok(true)
    }

    /// Removes what is applied: at first whatever is there, also from before a crash; then what the
    /// receiver has seen.
    fn remove_applied(&self, cursor: &MirrorCursor) -> Result<(), ApplyError> {
        if self.relay.is_some() {
            // others may need it
            return Ok(());
        }
        let identity = self.spool.identity();
        let past = (self.arrivals).take_up_to(identity, cursor.applied.file);
        if !self.is_swept.load(Ordering::Relaxed) {
            self.spool.remove_applied(cursor.applied)?;
            self.is_swept.store(true, Ordering::Relaxed);
        } else if !past.is_empty() {
            let names = past.iter().map(Arrived::text);
            let removed = self.spool.remove_arrived(names);
            // nobody has noted what is left
            removed.inspect_err(|_| self.is_swept.store(false, Ordering::Relaxed))?;
        }
        Ok(())
    }

    /// Adds files to the run until it is long enough, or all that were received are in it. Only
    /// headers are read.
    fn plan(&self, replay: &Replay, run: &mut Run, cursor: &MirrorCursor) -> Result<(), Fault> {
        while run.may_grow() && run.next_file() <= cursor.received.file {
            let number = run.next_file();
            let added = self
                .parse(number)
                .and_then(|file| replay.extend_run(run, &file));
            added.map_err(|error| Fault { number, error })?;
        }
        Ok(())
    }

    fn apply_run(&self, replay: &mut Replay, run: &Run) -> Result<(), ReplayError> {
        let mut open = |number| {
            if self.received.is_stopped() {
                return Err(ReplayError::Stopped);
            }
            let file = self.parse(number)?;
            let times = if run.is_opened_twice(number) { 2 } else { 1 };
            self.shared.lock().applied_bytes += file.len().get() / times;
            Ok(file)
        };
        replay.apply_files(run, &mut open).map(drop)
    }

    /// Opens a file that was received.
    fn parse(&self, number: FileNumber) -> Result<ParsedFile, ReplayError> {
        let name = self.name_of(number).sealed();
        let opened = self.spool.incoming_folder().open(&name, false);
        let opened = opened.map_err(|source| ReadError::Io { at: 0, source });
        let parsed = opened.and_then(ParsedFile::open);
        parsed.map_err(|source| ReplayError::Read {
            file: number,
            source,
        })
    }

    fn name_of(&self, number: FileNumber) -> FileName {
        let identity = self.spool.identity();
        FileName {
            volume: identity.id,
            epoch: identity.epoch,
            number,
        }
    }

    /// Deals with a file that was received and can't be used after all: takes the receipt back,
    /// so that the source sends it again if it has it. What came before it stays received.
    ///
    /// A damaged one is left to the receiver: it may be being written anew at this moment. One that
    /// is whole and does not belong here is set aside.
    fn mend(&self, run: &Run, fault: Fault) -> Result<bool, ApplyError> {
        let name = self.name_of(fault.number);
        let is_gone = fault.is_gone();
        if !is_gone && !fault.lies_in_file() {
            return Err(fault.error.into());
        }
        tracing::warn!(file = %name, error = %fault.error, "a received file can't be applied");
        let before = position_before(run, fault.number);
        let stored = self.cursor.update(|cursor| {
            cursor.received = before;
            if before.file < cursor.base {
                cursor.base = FileNumber(0);
            }
        });
        stored.map_err(ApplyError::Cursor)?;
        pass(Failpoint::ReceiptWithdrawn, name)?;
        // the receipt first: a stop in between leaves a file that the receiver looks at again
        if is_gone {
            return Err(ApplyError::Missing { name });
        }
        if fault.error.is_refusal() {
            self.set_aside(&name.sealed(), &chain(&fault.error))?;
        }
        self.arrived.hint();
        Ok(true)
    }
}

/// The place just before a file of the run, or before the one that comes next behind it.
fn position_before(run: &Run, number: FileNumber) -> Position {
    let before = run.files().iter().rev().find(|file| file.file < number);
    before.copied().unwrap_or_else(|| run.start())
}

/// What is wrong, and with which file of a run.
struct Fault {
    number: FileNumber,
    error: ReplayError,
}

impl Fault {
    /// Where an error does not name the file, it is taken for one of the last.
    fn of(error: ReplayError, run: &Run) -> Self {
        let number = match &error {
            ReplayError::Read { file, .. } | ReplayError::Link { file, .. } => *file,
            ReplayError::OutOfRange { lsn, .. } => {
                let holds = |file: &&Position| file.lsn >= *lsn;
                run.files()
                    .iter()
                    .find(holds)
                    .copied()
                    .unwrap_or_default()
                    .file
            }
            _ => run.reached().file,
        };
        Self { number, error }
    }

    fn is_gone(&self) -> bool {
        matches!(&self.error, ReplayError::Read { source: ReadError::Io { source, .. }, .. }
            if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Whether it lies in the bytes of the file, and not in this host.
    fn lies_in_file(&self) -> bool {
        match &self.error {
            ReplayError::Read { source, .. } => source.is_damage(),
            error => error.is_refusal(),
        }
    }
}

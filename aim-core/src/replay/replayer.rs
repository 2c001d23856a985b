//! The applier itself.

use std::sync::Arc;

use super::ahead::{self, Turn};
use super::batch::Batch;
use super::place::{Standing, standing};
use super::round::Round;
use super::run::{Opener, verified};
use super::transactions::{apply_transactions, device_of, settle};
use super::{Differences, ReplayError, Run, Summary};
use crate::cursor::{MirrorCursor, MirrorCursorFile, Position};
use crate::device::BlockDevice;
use crate::failpoint::{Failpoint, reach};
use crate::format::{Header, Seal};
use crate::identity::{FollowerIdentity, VolumeIdentity};
use crate::journal::{ParsedFile, ReadError, VerifiedFile};
use crate::state_file::{StateError, StateFile};
use crate::units::FileNumber;

/// Applies verified files in order to the devices of a mirror. The protocol is described in the
/// [module](super).
///
/// It must be the only one who changes the devices, the cursor's `intent` and `applied`, and the
/// differences beside the cursor. Memory: three files with their IOCBs, the one that is applied, the
/// one before it while the devices still write it, and the next, as far as they have up to
/// [`FileMemory::BYTES_MAX`](crate::journal::FileMemory::BYTES_MAX); of longer ones the IOCBs, and two
/// batches of writes, each up to 8 MiB or one payload.
#[derive(Debug)]
pub struct Replay {
    volume: VolumeIdentity,
    devices: Vec<Arc<dyn BlockDevice>>,
    cursor: Arc<MirrorCursorFile>,
    differences: Differences,
    /// Whether nobody asks what the devices hold: then the first run begins with a baseline.
    is_follower: bool,
    batch: Batch,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Its transactions are durable on the devices.
    Applied(Summary),
    /// They were before; nothing was done.
    AlreadyApplied,
}

impl Replay {
    /// Pairs devices with the volume whose series shall be applied to them, in its order. What is
    /// known to differ is read from the folder of the cursor, and whether the mirror is a
    /// [follower](FollowerIdentity).
    ///
    /// # Errors
    ///
    /// [`ReplayError::DeviceCount`], [`ReplayError::DeviceSize`] or
    /// [`ReplayError::DeviceBlockSize`] where they don't fit. Smaller blocks than the source's
    /// fit. [`ReplayError::Differences`] and [`ReplayError::Follower`] if those files are damaged or
    /// of another volume.
    pub fn new(
        volume: VolumeIdentity,
        devices: Vec<Arc<dyn BlockDevice>>,
        cursor: Arc<MirrorCursorFile>,
    ) -> Result<Self, ReplayError> {
        if devices.len() != volume.devices.len() {
            return Err(ReplayError::DeviceCount {
                expected: volume.devices.len(),
                found: devices.len(),
            });
        }
        for (device, (expected, found)) in volume.devices.iter().zip(&devices).enumerate() {
            if found.size() != expected.size {
                return Err(ReplayError::DeviceSize {
                    device,
                    expected: expected.size,
                    found: found.size(),
                });
            }
            if found.block_size() > expected.block_size {
                return Err(ReplayError::DeviceBlockSize {
                    device,
                    expected: expected.block_size,
                    found: found.block_size(),
                });
            }
        }
        let stored = Differences::load(&**cursor.directory()).map_err(ReplayError::Differences)?;
        let differences = stored.unwrap_or_else(|| Differences::new(volume.id));
        let ours = differences.require_volume(volume.id);
        ours.map_err(ReplayError::Differences)?;
        let follower = FollowerIdentity::load(&**cursor.directory());
        let follower = follower.and_then(|follower| match follower {
            Some(follower) => follower.require_volume(volume.id).map(|()| true),
            None => Ok(false),
        });
        Ok(Self {
            is_follower: follower.map_err(ReplayError::Follower)?,
            volume,
            devices,
            cursor,
            differences,
            batch: Batch::default(),
        })
    }

    /// How far the mirror is.
    pub fn cursor(&self) -> MirrorCursor {
        self.cursor.get()
    }

    /// The mirror's devices, in the volume's order.
    pub fn devices(&self) -> &[Arc<dyn BlockDevice>] {
        &self.devices
    }

    /// Where the devices are known to differ from the source as of what is applied.
    pub fn differences(&self) -> &Differences {
        &self.differences
    }

    /// Whether the first run has to begin with a baseline, and none has been applied yet.
    pub fn must_begin_at_a_baseline(&self) -> bool {
        self.is_follower && self.cursor.get().applied.is_start()
    }

    /// A run behind what is applied, without a file yet.
    pub fn start_run(&self) -> Run {
        Run::behind(&self.cursor.get())
    }

    /// Adds a sealed file to a run by its header. Says whether it belongs there; if not, it was
    /// applied before.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if it is not the one that comes next; the run is as before.
    pub fn extend_run(&self, run: &mut Run, file: &ParsedFile) -> Result<bool, ReplayError> {
        match (&file.header().seal, file.position()) {
            (Some(seal), Some(position)) => self.extend(run, file.header(), seal, position),
            _ => Err(ReplayError::Read {
                file: file.header().number,
                source: ReadError::NotSealed,
            }),
        }
    }

    /// Applies the file that comes next.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; the file is not applied. If the devices were touched the cursor is not
    /// settled, and the same file has to be applied again.
    pub fn apply(&mut self, file: &VerifiedFile) -> Result<Outcome, ReplayError> {
        let summary = self.apply_run(&[file])?;
        Ok(match summary.files {
            0 => Outcome::AlreadyApplied,
            _ => Outcome::Applied(summary),
        })
    }

    /// Applies files that follow each other, as one: after a crash the devices hold all of them
    /// or, once they were applied again, all of them. Those that were applied before are
    /// skipped.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); none of the files counts as applied.
    /// [`ReplayError::InGroup`] if the last one ends in a group.
    pub fn apply_run(&mut self, files: &[&VerifiedFile]) -> Result<Summary, ReplayError> {
        let (run, next, summary) = self.run_of(files)?;
        if next.is_empty() {
            return Ok(summary);
        }
        let mut round = self.start_round(&run, summary)?;
        self.note_intent(&mut round)?;
        let mut next = next.into_iter();
        let done = next.try_for_each(|file| self.apply_file(&mut round, file));
        self.settle(&mut round).and(done)?;
        self.end_round(round)
    }

    /// Applies the files of a complete run as [`apply_run`](Self::apply_run) does, with three of
    /// them in memory at a time, however many there are. Each is opened shortly before its turn, and
    /// read by a thread of its own while the one before is applied.
    ///
    /// Nothing of a file is applied before it is verified to its last byte; nothing of a group before
    /// all of its files are, so that a damaged one is found while the devices still hold what was
    /// before the group. What stands before it in the run stays applied, and the error comes
    /// all the same.
    ///
    /// # Errors
    ///
    /// As [`apply_run`](Self::apply_run), and whatever `open` gives. If that concerns a file before
    /// which the run can be applied, what is before it is; else none of the files counts as applied.
    pub fn apply_files(
        &mut self,
        run: &Run,
        open: &mut Opener<'_>,
    ) -> Result<Summary, ReplayError> {
        run.require_complete()?;
        let mut round = self.start_round(run, Summary::default())?;
        let turns = ahead::turns(run);
        let done = ahead::each(turns, open, |turn, file| {
            self.take_turn(&mut round, turn, file)
        });
        // whatever has come in between: nothing stays under way
        let settled = self.settle(&mut round);
        match settled.and(done) {
            Err(error) if round.cut() => self.end_round(round).and(Err(error)),
            Err(error) => Err(error),
            Ok(()) => self.end_round(round),
        }
    }

    /// Says what [`apply_run`](Self::apply_run) would do, and touches neither devices nor cursor.
    ///
    /// # Errors
    ///
    /// Whatever of it can be known without touching the devices.
    pub fn dry_run(&self, files: &[&VerifiedFile]) -> Result<Summary, ReplayError> {
        let (_, next, mut summary) = self.run_of(files)?;
        for file in next {
            self.tell(file, &mut summary)?;
        }
        Ok(summary)
    }

    /// Says what [`apply_files`](Self::apply_files) would do, and touches neither devices nor
    /// cursor.
    ///
    /// # Errors
    ///
    /// Whatever of it can be known without touching the devices.
    pub fn dry_run_files(&self, run: &Run, open: &mut Opener<'_>) -> Result<Summary, ReplayError> {
        run.require_complete()?;
        let mut summary = Summary::default();
        for position in run.files() {
            self.tell(&verified(open, position)?, &mut summary)?;
            summary.files += 1;
        }
        summary.reached = run.reached();
        Ok(summary)
    }

    fn extend(
        &self,
        run: &mut Run,
        header: &Header,
        seal: &Seal,
        position: Position,
    ) -> Result<bool, ReplayError> {
        let cursor = self.cursor.get();
        let standing = standing(&self.volume, &cursor, run, header, position)?;
        if self.is_follower && run.reached().is_start() && !run.steps_over() {
            return Err(ReplayError::NotAtABaseline {
                file: header.number,
            });
        }
        if standing == Standing::Next {
            run.push(header, seal, position);
        }
        Ok(standing == Standing::Next)
    }

    /// The run that files make, and those of them that are in it.
    fn run_of<'a>(
        &self,
        files: &[&'a VerifiedFile],
    ) -> Result<(Run, Vec<&'a VerifiedFile>, Summary), ReplayError> {
        let mut run = self.start_run();
        let mut next = Vec::new();
        for &file in files {
            if self.extend(&mut run, file.header(), file.seal(), file.position())? {
                next.push(file);
            }
        }
        run.require_complete()?;
        let summary = Summary {
            reached: run.reached(),
            files_skipped: (files.len() - next.len()) as u64,
            files: next.len() as u64,
            ..Summary::default()
        };
        Ok((run, next, summary))
    }

    fn start_round(&mut self, run: &Run, summary: Summary) -> Result<Round, ReplayError> {
        let cursor = self.cursor.get();
        if run.start() != cursor.applied {
            return Err(ReplayError::OtherStart {
                start: run.start().into(),
                applied: cursor.applied.into(),
            });
        }
        // an interrupted run may have left something
        self.batch.clear();
        let mut round = Round::start(&cursor, run, self.differences.clone(), summary);
        if self.is_follower && run.is_over_missing_files() {
            round.progress.know_nothing(&self.volume);
        }
        Ok(round)
    }

    /// Steps 2 and 3, for one file of a run.
    fn take_turn(
        &mut self,
        round: &mut Round,
        turn: Turn,
        file: &VerifiedFile,
    ) -> Result<(), ReplayError> {
        if turn.is_applied || turn.is_last {
            self.note_intent(round)?;
        }
        if turn.is_applied {
            self.apply_file(round, file)?;
        }
        if turn.is_applied && turn.is_last {
            round.reach(turn.position);
        }
        Ok(())
    }

    fn apply_file(&mut self, round: &mut Round, file: &VerifiedFile) -> Result<(), ReplayError> {
        round.touch();
        apply_transactions(file, &self.devices, &mut self.batch, &mut round.progress)
    }

    /// The end of step 3.
    fn settle(&self, round: &mut Round) -> Result<(), ReplayError> {
        settle(&self.devices)?;
        round.settle();
        Ok(())
    }

    /// Steps 4 to 6.
    fn end_round(&mut self, round: Round) -> Result<Summary, ReplayError> {
        pass(Failpoint::ApplyWritten)?;
        for (device, opened) in self.devices.iter().enumerate() {
            opened.sync().map_err(|source| ReplayError::Device {
                what: "syncing",
                device,
                source,
            })?;
        }
        pass(Failpoint::ApplySynced)?;
        let (intent, progress) = (round.intent(), round.progress);
        self.note_differences(progress.differences, progress.summary.reached)?;
        self.note_applied(&progress.summary, intent)?;
        pass(Failpoint::ApplyCursor)?;
        Ok(progress.summary)
    }

    /// Step 2, once. Where an interrupted run went further than this one will, its intent stands.
    fn note_intent(&self, round: &mut Round) -> Result<(), ReplayError> {
        let Some(intent) = round.take_intent() else {
            return Ok(());
        };
        let noted = self.cursor.update(|cursor| cursor.intent = intent);
        noted.map(drop).map_err(ReplayError::Cursor)?;
        pass(Failpoint::ApplyIntent)
    }

    fn tell(&self, file: &VerifiedFile, summary: &mut Summary) -> Result<(), ReplayError> {
        for iocb in file.records() {
            device_of(&self.devices, iocb)?;
            summary.count(iocb);
        }
        Ok(())
    }

    /// Step 5.
    fn note_differences(
        &mut self,
        mut found: Differences,
        reached: Position,
    ) -> Result<(), ReplayError> {
        if found != self.differences {
            found.set_as_of(reached.lsn);
            let stored = found.store(&**self.cursor.directory());
            stored.map_err(ReplayError::Differences)?;
            pass(Failpoint::ApplyDifferences)?;
            self.differences = found;
        }
        Ok(())
    }

    /// Step 6.
    fn note_applied(&self, summary: &Summary, intent: Position) -> Result<(), ReplayError> {
        let noted: Result<_, StateError> = self.cursor.update(|cursor| {
            cursor.applied = summary.reached;
            cursor.intent = intent;
            if cursor.base <= summary.reached.file {
                cursor.base = FileNumber(0);
            }
            cursor.applied_time = cursor.applied_time.max(summary.newest);
            // a file that was applied by hand was received by hand
            if cursor.received.file < summary.reached.file {
                cursor.received = summary.reached;
            }
        });
        noted.map(drop).map_err(ReplayError::Cursor)
    }
}

fn pass(point: Failpoint) -> Result<(), ReplayError> {
    reach(point).map_err(|source| {
        let name = MirrorCursor::NAME;
        ReplayError::Cursor(StateError::Io { name, source })
    })
}

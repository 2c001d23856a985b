//! The applier itself.

use std::borrow::Borrow;
use std::sync::Arc;

use super::batch::Batch;
use super::place::{Standing, standing};
use super::progress::Progress;
use super::run::{Opener, reading, verified, verified_before};
use super::{Differences, ReplayError, Run, Summary};
use crate::cursor::{MirrorCursor, MirrorCursorFile, Position};
use crate::device::{BlockDevice, check_range};
use crate::failpoint::{Failpoint, reach};
use crate::format::{Header, Iocb, Kind, Seal};
use crate::identity::{FollowerIdentity, VolumeIdentity};
use crate::journal::{ParsedFile, ReadError, VerifiedFile};
use crate::state_file::{StateError, StateFile};
use crate::units::FileNumber;

/// Applies verified files in order to the devices of a mirror. The protocol is described in the
/// [module](super).
///
/// It must be the only one who changes the devices, the cursor's `intent` and `applied`, and the
/// differences beside the cursor. Memory: the IOCBs of one file, and one batch of writes, up to
/// 8 MiB or one payload.
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
        let mut next = next.into_iter();
        self.perform(&run, summary, |position| {
            let file = next.next();
            file.ok_or_else(|| reading(position.file)(ReadError::Replaced))
        })
    }

    /// Applies the files of a complete run as [`apply_run`](Self::apply_run) does, with one of
    /// them in memory at a time, however many there are. Each is opened when its turn has come.
    ///
    /// Of several files each one is verified to its last byte before the first is applied, so
    /// that a damaged one is found while the devices still hold what was before the run.
    ///
    /// # Errors
    ///
    /// As [`apply_run`](Self::apply_run), and whatever `open` gives; none of the files counts as
    /// applied.
    pub fn apply_files(
        &mut self,
        run: &Run,
        open: &mut Opener<'_>,
    ) -> Result<Summary, ReplayError> {
        run.require_complete()?;
        if let [only] = run.files() {
            let file = verified(open, only)?;
            return self.perform(run, Summary::default(), |_| Ok(&file));
        }
        for position in run.files() {
            verified(open, position)?;
        }
        self.perform(run, Summary::default(), |position| {
            verified_before(open, position)
        })
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

    /// Steps 2 to 6. `next` gives the files of the run one after the other.
    fn perform<F: Borrow<VerifiedFile>>(
        &mut self,
        run: &Run,
        summary: Summary,
        mut next: impl FnMut(&Position) -> Result<F, ReplayError>,
    ) -> Result<Summary, ReplayError> {
        let cursor = self.cursor.get();
        if run.start() != cursor.applied {
            return Err(ReplayError::OtherStart {
                start: run.start().into(),
                applied: cursor.applied.into(),
            });
        }
        let summary = Summary {
            files: run.files().len() as u64,
            reached: run.reached(),
            ..summary
        };
        let mut progress = Progress::start(&cursor, run, self.differences.clone(), summary);
        if self.is_follower && run.is_over_missing_files() {
            progress.know_nothing(&self.volume);
        }
        self.note_intent(run.reached())?;
        pass(Failpoint::ApplyIntent)?;
        // an interrupted run may have left something
        self.batch.clear();
        for position in run.files() {
            self.apply_transactions(next(position)?.borrow(), &mut progress)?;
        }
        pass(Failpoint::ApplyWritten)?;
        for (device, opened) in self.devices.iter().enumerate() {
            opened.sync().map_err(|source| ReplayError::Device {
                what: "syncing",
                device,
                source,
            })?;
        }
        pass(Failpoint::ApplySynced)?;
        self.note_differences(progress.differences, run.reached())?;
        self.note_applied(&progress.summary)?;
        pass(Failpoint::ApplyCursor)?;
        Ok(progress.summary)
    }

    /// Step 2. Where an interrupted run went further than this one will, its intent stands.
    fn note_intent(&self, reach: Position) -> Result<(), ReplayError> {
        let noted = self.cursor.update(|cursor| {
            if cursor.intent.file < reach.file {
                cursor.intent = reach;
            }
        });
        noted.map(drop).map_err(ReplayError::Cursor)
    }

    /// Step 3, for one file.
    fn apply_transactions(
        &mut self,
        file: &VerifiedFile,
        progress: &mut Progress,
    ) -> Result<(), ReplayError> {
        for iocb in file.records() {
            progress.summary.count(iocb);
            if self.batch.overlaps(iocb) || self.batch.is_full(iocb.stored_size()) {
                self.batch.drain(&self.devices)?;
            }
            match iocb.kind {
                Kind::Write => {
                    self.device_of(iocb)?;
                    let payload = self.batch.gather(iocb);
                    let read = file.read_payload(iocb, payload);
                    read.map_err(reading(file.header().number))?;
                }
                Kind::WriteZeroes { unmap } => self.zero(iocb, unmap)?,
                Kind::Discard => self.zero(iocb, true)?,
                Kind::Flush => self.batch.drain(&self.devices)?,
                // nothing that is gathered lies in its range
                Kind::Verify { digest } => {
                    progress.compare(self.device_of(iocb)?.1, iocb, digest);
                }
                Kind::Void
                | Kind::GroupBegin { .. }
                | Kind::GroupEnd
                | Kind::BaselineBegin
                | Kind::BaselineEnd { .. } => {}
            }
            if iocb.kind.changes_bytes() {
                progress.note_written(iocb);
            }
        }
        // the next file is another flush epoch or not: nobody gains by knowing
        self.batch.drain(&self.devices)
    }

    fn zero(&self, iocb: &Iocb, unmap: bool) -> Result<(), ReplayError> {
        let (index, device) = self.device_of(iocb)?;
        let done = match iocb.kind {
            Kind::Discard => device.discard(iocb.offset, iocb.len),
            _ => device.write_zeroes(iocb.offset, iocb.len, unmap),
        };
        done.map_err(|source| ReplayError::Device {
            what: "zeroing on",
            device: index,
            source,
        })
    }

    fn tell(&self, file: &VerifiedFile, summary: &mut Summary) -> Result<(), ReplayError> {
        for iocb in file.records() {
            self.device_of(iocb)?;
            summary.count(iocb);
        }
        Ok(())
    }

    /// The device of a transaction, if its range lies on it. Verification has seen to that; what
    /// writes to a disk looks again.
    fn device_of(&self, iocb: &Iocb) -> Result<(usize, &dyn BlockDevice), ReplayError> {
        let index = usize::from(iocb.device);
        let device = self.devices.get(index).map(|device| &**device);
        let fits = |device: &&dyn BlockDevice| check_range(*device, iocb.offset, iocb.len).is_ok();
        match device.filter(fits) {
            Some(device) => Ok((index, device)),
            None => Err(ReplayError::OutOfRange {
                lsn: iocb.lsn,
                device: iocb.device,
                offset: iocb.offset.get(),
                len: iocb.len.get(),
            }),
        }
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
    fn note_applied(&self, summary: &Summary) -> Result<(), ReplayError> {
        let noted: Result<_, StateError> = self.cursor.update(|cursor| {
            cursor.applied = summary.reached;
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

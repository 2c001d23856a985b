//! The applier itself.

use std::sync::Arc;

use super::batch::Batch;
use super::place::{Standing, standing};
use super::{ReplayError, Summary};
use crate::cursor::{MirrorCursor, MirrorCursorFile, Position};
use crate::device::{BlockDevice, check_range};
use crate::failpoint::{Failpoint, reach};
use crate::format::{Iocb, Kind};
use crate::identity::VolumeIdentity;
use crate::journal::VerifiedFile;
use crate::state_file::{StateError, StateFile};

/// Applies verified files in order to the devices of a mirror. The protocol is described in the
/// [module](super).
///
/// It must be the only one who changes the devices and the cursor's `intent` and `applied`.
/// Memory: one batch of writes, up to 8 MiB or one payload.
#[derive(Debug)]
pub struct Replay {
    volume: VolumeIdentity,
    devices: Vec<Arc<dyn BlockDevice>>,
    cursor: Arc<MirrorCursorFile>,
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
    /// Pairs devices with the volume whose series shall be applied to them, in its order.
    ///
    /// # Errors
    ///
    /// [`ReplayError::DeviceCount`], [`ReplayError::DeviceSize`] or
    /// [`ReplayError::DeviceBlockSize`] where they don't fit. Smaller blocks than the source's
    /// fit.
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
        Ok(Self {
            volume,
            devices,
            cursor,
            batch: Batch::default(),
        })
    }

    /// How far the mirror is.
    pub fn cursor(&self) -> MirrorCursor {
        self.cursor.get()
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
    pub fn apply_run(&mut self, files: &[&VerifiedFile]) -> Result<Summary, ReplayError> {
        let mut summary = Summary::default();
        let next = self.next_of(files, &mut summary)?;
        if next.is_empty() {
            return Ok(summary);
        }
        self.note_intent(summary.reached)?;
        pass(Failpoint::ApplyIntent)?;
        // an interrupted run may have left something
        self.batch.clear();
        for file in next {
            self.apply_transactions(file, &mut summary)?;
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
        self.note_applied(&summary)?;
        pass(Failpoint::ApplyCursor)?;
        Ok(summary)
    }

    /// Says what [`apply_run`](Self::apply_run) would do, and touches neither devices nor cursor.
    ///
    /// # Errors
    ///
    /// Whatever of it can be known without touching the devices.
    pub fn dry_run(&self, files: &[&VerifiedFile]) -> Result<Summary, ReplayError> {
        let mut summary = Summary::default();
        for file in self.next_of(files, &mut summary)? {
            for iocb in file.records() {
                self.device_of(iocb)?;
                summary.count(iocb);
            }
        }
        Ok(summary)
    }

    /// The files that are still to be applied, each of which follows the one before.
    fn next_of<'a>(
        &self,
        files: &[&'a VerifiedFile],
        summary: &mut Summary,
    ) -> Result<Vec<&'a VerifiedFile>, ReplayError> {
        let cursor = self.cursor.get();
        let mut reached = cursor.applied;
        let mut next = Vec::new();
        for &file in files {
            match standing(&self.volume, &cursor, reached, file)? {
                Standing::Before => summary.files_skipped += 1,
                Standing::Next => {
                    reached = file.position();
                    next.push(file);
                    summary.files += 1;
                }
            }
        }
        summary.reached = reached;
        if reached.is_in_group() {
            return Err(ReplayError::InGroup {
                file: reached.file,
                begin: reached.open_group,
            });
        }
        Ok(next)
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
        summary: &mut Summary,
    ) -> Result<(), ReplayError> {
        let number = file.header().number;
        let read_error = |source| ReplayError::Read {
            file: number,
            source,
        };
        for iocb in file.records() {
            summary.count(iocb);
            if self.batch.overlaps(iocb) || self.batch.is_full(iocb.stored_size()) {
                self.batch.drain(&self.devices)?;
            }
            match iocb.kind {
                Kind::Write => {
                    self.device_of(iocb)?;
                    let payload = self.batch.gather(iocb);
                    file.read_payload(iocb, payload).map_err(read_error)?;
                }
                Kind::WriteZeroes { unmap } => self.zero(iocb, unmap)?,
                Kind::Discard => self.zero(iocb, true)?,
                Kind::Flush => self.batch.drain(&self.devices)?,
                Kind::Void | Kind::Verify { .. } | Kind::GroupBegin { .. } | Kind::GroupEnd => {}
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
    fn note_applied(&self, summary: &Summary) -> Result<(), ReplayError> {
        let noted: Result<_, StateError> = self.cursor.update(|cursor| {
            cursor.applied = summary.reached;
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

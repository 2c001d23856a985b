//! Doing the transactions of one file.

use std::sync::Arc;

use super::ReplayError;
use super::batch::{Batch, writing_to};
use super::progress::Progress;
use super::run::reading;
use crate::device::{BlockDevice, check_range};
use crate::format::{Iocb, Kind};
use crate::journal::VerifiedFile;

type Devices = [Arc<dyn BlockDevice>];

/// Step 3 of a run, for one file: once the devices are [settled](settle) they hold what its transactions
/// leave, done one after the other; what was done before this file they do when it returns. In between they need not hold what they held on the source at any time, but where
/// a verify record is compared: nobody relies on them before the run is applied, and it is done again
/// from its start otherwise. So writes are gathered over flushes, and of writes that cover each other
/// only the last is done.
pub(super) fn apply_transactions(
    file: &VerifiedFile,
    devices: &Devices,
    batch: &mut Batch,
    progress: &mut Progress,
) -> Result<(), ReplayError> {
    let memory = file.shared_memory();
    let memory = memory.as_ref();
    for iocb in file.records() {
        progress.summary.count(iocb);
        match iocb.kind {
            Kind::Write => {
                device_of(devices, iocb)?;
                match (&iocb.payload, memory) {
                    // it lies in the memory: all of the file was verified there
                    (Some(payload), Some(_)) => batch.put(iocb, payload.place as usize),
                    _ => gather(file, iocb, devices, batch)?,
                }
            }
            Kind::WriteZeroes { unmap } => {
                batch.forget(iocb);
                zero(devices, iocb, unmap)?;
            }
            Kind::Discard => {
                batch.forget(iocb);
                zero(devices, iocb, true)?;
            }
            Kind::Verify { digest } => {
                let (index, device) = device_of(devices, iocb)?;
                if !batch.is_empty() {
                    batch.drain(memory, devices)?;
                }
                device.settle().map_err(writing_to(index))?;
                progress.compare(device, iocb, digest);
            }
            Kind::Flush
            | Kind::Void
            | Kind::GroupBegin { .. }
            | Kind::GroupEnd
            | Kind::BaselineBegin
            | Kind::BaselineEnd { .. } => {}
        }
        if iocb.kind.changes_bytes() {
            progress.note_written(iocb);
        }
    }
    // so that no more than two files are in the hands of the devices
    batch.drain(memory, devices)
}

/// Waits until all that was handed to the devices is on them. All of them are asked, so that nothing is
/// under way after an error, either.
pub(super) fn settle(devices: &Devices) -> Result<(), ReplayError> {
    let settled = devices.iter().enumerate();
    let settled = settled.map(|(index, device)| device.settle().map_err(writing_to(index)));
    settled.fold(Ok(()), Result::and)
}

/// Takes in a write of a file that is not in memory.
fn gather(
    file: &VerifiedFile,
    iocb: &Iocb,
    devices: &Devices,
    batch: &mut Batch,
) -> Result<(), ReplayError> {
    if batch.is_full(iocb.stored_size()) {
        batch.drain(None, devices)?;
    }
    let read = file.read_payload(iocb, batch.gather(iocb));
    read.map_err(reading(file.header().number))
}

fn zero(devices: &Devices, iocb: &Iocb, unmap: bool) -> Result<(), ReplayError> {
    let (index, device) = device_of(devices, iocb)?;
    device.settle().map_err(writing_to(index))?;
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

/// The device of a transaction, if its range lies on it. Verification has seen to that; what writes
/// to a disk looks again.
pub(super) fn device_of<'a>(
    devices: &'a Devices,
    iocb: &Iocb,
) -> Result<(usize, &'a dyn BlockDevice), ReplayError> {
    let index = usize::from(iocb.device);
    let device = devices.get(index).map(|device| &**device);
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

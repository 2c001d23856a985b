//! Writes that are gathered because they may go in any order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::ReplayError;
use crate::device::{BlockDevice, WriteRun};
use crate::format::Iocb;
use crate::units::ByteOffset;

/// Payload bytes that are gathered at most; a single payload may be larger.
const BATCH_BYTES: usize = 8 << 20;

/// Writes that are gathered at most.
const BATCH_WRITES: usize = 1024;

/// Writes of one flush epoch, none of which overlaps another.
#[derive(Debug, Default)]
pub(super) struct Batch {
    buffer: Vec<u8>,
    used: usize,
    writes: Vec<Write>,
    /// End of each gathered range, by device and start.
    ranges: BTreeMap<(u16, u64), u64>,
}

#[derive(Debug)]
struct Write {
    device: u16,
    offset: ByteOffset,
    payload: Range<usize>,
}

impl Batch {
    /// Whether a range has a byte in common with one that is gathered.
    pub(super) fn overlaps(&self, iocb: &Iocb) -> bool {
        let (start, len) = (iocb.offset.get(), iocb.len.get());
        let before_end = ..(iocb.device, start.saturating_add(len));
        let nearest = self.ranges.range(before_end).next_back();
        nearest.is_some_and(|(&(device, _), &end)| device == iocb.device && end > start)
    }

    /// Whether a payload of `len` bytes belongs into another batch.
    pub(super) fn is_full(&self, len: u32) -> bool {
        self.writes.len() >= BATCH_WRITES
            || !self.writes.is_empty() && self.used + len as usize > BATCH_BYTES
    }

    /// Takes in a write that overlaps nothing; its payload goes where this points.
    pub(super) fn gather(&mut self, iocb: &Iocb) -> &mut [u8] {
        let payload = self.used..self.used + iocb.stored_size() as usize;
        if self.buffer.len() < payload.end {
            self.buffer.resize(payload.end.next_power_of_two(), 0);
        }
        let start = iocb.offset.get();
        self.ranges
            .insert((iocb.device, start), start.saturating_add(iocb.len.get()));
        self.writes.push(Write {
            device: iocb.device,
            offset: iocb.offset,
            payload: payload.clone(),
        });
        self.used = payload.end;
        &mut self.buffer[payload]
    }

    /// Stores what was gathered, and is empty again.
    pub(super) fn drain(&mut self, devices: &[Arc<dyn BlockDevice>]) -> Result<(), ReplayError> {
        for (index, device) in devices.iter().enumerate() {
            let of_device = self
                .writes
                .iter()
                .filter(|write| usize::from(write.device) == index);
            let runs: Vec<WriteRun<'_>> = of_device
                .map(|write| WriteRun {
                    offset: write.offset,
                    data: &self.buffer[write.payload.clone()],
                })
                .collect();
            if runs.is_empty() {
                continue;
            }
            let stored = device.write_batch(&runs);
            stored.map_err(|source| ReplayError::Device {
                what: "writing to",
                device: index,
                source,
            })?;
        }
        self.clear();
        Ok(())
    }

    /// Forgets what was gathered, and keeps the memory for what comes, up to a usual batch.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.writes.clear();
        self.ranges.clear();
        if self.buffer.len() > BATCH_BYTES {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemDevice;
    use crate::format::{Kind, Payload};
    use crate::units::{ByteLen, Lsn, Timestamp};

    fn write(device: u16, offset: u64, len: u64) -> Iocb {
        Iocb {
            lsn: Lsn(1),
            device,
            kind: Kind::Write,
            fua: false,
            offset: ByteOffset(offset),
            len: ByteLen(len),
            payload: Some(Payload {
                place: 4096,
                stored_size: len as u32,
                checksum: 0,
            }),
            time: Timestamp(0),
        }
    }

    #[test]
    fn overlap_needs_a_common_byte_on_the_same_device() {
        let mut batch = Batch::default();
        batch.gather(&write(1, 1024, 1024));
        batch.gather(&write(1, 4096, 512));
        assert!(batch.overlaps(&write(1, 1536, 512)));
        assert!(batch.overlaps(&write(1, 512, 1024)));
        assert!(batch.overlaps(&write(1, 0, 8192)));
        assert!(!batch.overlaps(&write(1, 2048, 2048)));
        assert!(!batch.overlaps(&write(1, 0, 1024)));
        assert!(!batch.overlaps(&write(0, 1024, 1024)));
        assert!(!batch.overlaps(&write(2, 1024, 1024)));
    }

    #[test]
    fn a_batch_takes_one_payload_of_any_size_and_then_is_full() {
        let mut batch = Batch::default();
        assert!(!batch.is_full(BATCH_BYTES as u32 * 4));
        batch.gather(&write(0, 0, BATCH_BYTES as u64 * 4)).fill(1);
        assert!(batch.is_full(512));
        let size = ByteLen(BATCH_BYTES as u64 * 4);
        let device: Arc<dyn BlockDevice> = Arc::new(MemDevice::new(size, 512));
        batch.drain(&[device]).unwrap();
        assert!(!batch.is_full(512));
        assert!(!batch.overlaps(&write(0, 0, 512)));
    }
}

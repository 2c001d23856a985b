//! Writes that are gathered because they may go in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ReplayError;
use crate::device::{BlockDevice, WriteRun};
use crate::format::Iocb;
use crate::units::ByteOffset;

/// Payload bytes that are gathered at most where they are not in memory anyway; a single payload
/// may be larger.
const BUFFER_BYTES: usize = 8 << 20;

/// What writes leave on the devices, done in their order: where one covers another, only the later
/// one's bytes are here. So what is here does not overlap, and may go in any order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// By device and start.
    pieces: BTreeMap<(u16, u64), Piece>,
    /// Payloads of files that are not in memory.
    buffer: Vec<u8>,
    used: usize,
}

/// What is left of a write.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// End of its range on the device.
    end: u64,
    /// Where its bytes begin in the memory that holds them.
    place: usize,
}

impl Batch {
    /// Whether a range has a byte in common with one that is gathered.
    pub(super) fn overlaps(&self, iocb: &Iocb) -> bool {
        let (start, end) = range_of(iocb);
        let before_end = (iocb.device, 0)..(iocb.device, end);
        let nearest = self.pieces.range(before_end).next_back();
        nearest.is_some_and(|(_, piece)| piece.end > start)
    }

    /// Takes in a write whose payload begins at `place` of the memory that [`drain`](Self::drain)
    /// will be given.
    pub(super) fn put(&mut self, iocb: &Iocb, place: usize) {
        self.forget(iocb);
        let (start, end) = range_of(iocb);
        self.pieces
            .insert((iocb.device, start), Piece { end, place });
    }

    /// Leaves out what is gathered of a range, since something later decides what it holds.
    pub(super) fn forget(&mut self, iocb: &Iocb) {
        let (device, (start, end)) = (iocb.device, range_of(iocb));
        let mut behind = None;
        let mut before = self.pieces.range_mut((device, 0)..(device, start));
        if let Some((&(_, at), piece)) = before.next_back().filter(|(_, piece)| piece.end > start) {
            behind = piece.behind(at, end);
            piece.end = start;
        }
        let inside = (device, start)..(device, end);
        while let Some((&key, &piece)) = self.pieces.range(inside.clone()).next() {
            self.pieces.remove(&key);
            behind = behind.or_else(|| piece.behind(key.1, end));
        }
        if let Some(piece) = behind {
            self.pieces.insert((device, end), piece);
        }
    }

    /// Whether a payload of `len` bytes has no room in the buffer any more.
    pub(super) fn is_full(&self, len: u32) -> bool {
        self.used > 0 && self.used + len as usize > BUFFER_BYTES
    }

    /// Takes in a write whose payload goes into the buffer, where this points.
    pub(super) fn gather(&mut self, iocb: &Iocb) -> &mut [u8] {
        let payload = self.used..self.used + iocb.stored_size() as usize;
        if self.buffer.len() < payload.end {
            self.buffer.resize(payload.end.next_power_of_two(), 0);
        }
        self.put(iocb, payload.start);
        self.used = payload.end;
        &mut self.buffer[payload]
    }

    /// Stores what was gathered, and is empty again. Payloads lie in `memory`; without it, in the
    /// buffer.
    pub(super) fn drain(
        &mut self,
        memory: Option<&[u8]>,
        devices: &[Arc<dyn BlockDevice>],
    ) -> Result<(), ReplayError> {
        let memory = memory.unwrap_or(&self.buffer);
        for (device, index) in devices.iter().zip(0..) {
            let runs = self.runs(index, memory);
            if runs.is_empty() {
                continue;
            }
            let stored = device.write_batch(&runs);
            stored.map_err(|source| ReplayError::Device {
                what: "writing to",
                device: index.into(),
                source,
            })?;
        }
        self.clear();
        Ok(())
    }

    /// What goes to a device, ascending. What lies side by side there and in memory is one.
    fn runs<'a>(&self, device: u16, memory: &'a [u8]) -> Vec<WriteRun<'a>> {
        let mut joined: Vec<(u64, Piece)> = Vec::new();
        for (&(_, start), &piece) in self.pieces.range((device, 0)..=(device, u64::MAX)) {
            match joined.last_mut() {
                Some((at, last))
                    if last.end == start && last.place_of(*at, start) == piece.place =>
                {
                    last.end = piece.end;
                }
                _ => joined.push((start, piece)),
            }
        }
        let runs = joined.into_iter().map(|(start, piece)| WriteRun {
            offset: ByteOffset(start),
            data: &memory[piece.place..piece.place_of(start, piece.end)],
        });
        runs.collect()
    }

    /// Forgets what was gathered, and keeps the memory for what comes, up to a usual batch.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.pieces.clear();
        if self.buffer.len() > BUFFER_BYTES {
            self.buffer = Vec::new();
        }
    }
}

impl Piece {
    /// Where the byte for `offset` lies in memory, for a piece that begins at `start` of the device.
    fn place_of(self, start: u64, offset: u64) -> usize {
        // no longer than a payload, or than the memory in which it lies
        self.place + (offset - start) as usize
    }

    /// What of a piece from `start` lies behind `end`, if anything does.
    fn behind(self, start: u64, end: u64) -> Option<Self> {
        (self.end > end).then(|| Self {
            end: self.end,
            place: self.place_of(start, end),
        })
    }
}

fn range_of(iocb: &Iocb) -> (u64, u64) {
    let (start, len) = (iocb.offset.get(), iocb.len.get());
    (start, start.saturating_add(len))
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
        assert!(!batch.is_full(BUFFER_BYTES as u32 * 4));
        batch.gather(&write(0, 0, BUFFER_BYTES as u64 * 4)).fill(1);
        assert!(batch.is_full(512));
        let size = ByteLen(BUFFER_BYTES as u64 * 4);
        let device: Arc<dyn BlockDevice> = Arc::new(MemDevice::new(size, 512));
        batch.drain(None, &[device]).unwrap();
        assert!(!batch.is_full(512));
        assert!(!batch.overlaps(&write(0, 0, 512)));
    }

    /// Ranges and holes at random against a disk that does each at once.
    #[test]
    fn the_later_one_of_two_writes_counts_byte_by_byte() {
        let size = 64 * 512;
        let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut below = |end: u64| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            (word >> 16) % end
        };
        for _ in 0..500 {
            let mut batch = Batch::default();
            let mut model = [vec![0; size], vec![0; size]];
            let devices: Vec<Arc<dyn BlockDevice>> = (0..2)
                .map(|_| -> Arc<dyn BlockDevice> {
                    Arc::new(MemDevice::new(ByteLen(size as u64), 512))
                })
                .collect();
            for number in 1..=30_u8 {
                let first = below(64);
                let count = 1 + below((64 - first).min(12));
                let iocb = write(below(2) as u16, first * 512, count * 512);
                let touched = &mut model[usize::from(iocb.device)][first as usize * 512..]
                    [..count as usize * 512];
                if below(5) == 0 {
                    batch.forget(&iocb);
                    let device = &devices[usize::from(iocb.device)];
                    device.write_zeroes(iocb.offset, iocb.len, false).unwrap();
                    touched.fill(0);
                } else {
                    // bytes that differ inside of one payload, too
                    let payload: Vec<u8> = (0..touched.len())
                        .map(|at| number.wrapping_mul(7) ^ (at / 512) as u8)
                        .collect();
                    batch.gather(&iocb).copy_from_slice(&payload);
                    touched.copy_from_slice(&payload);
                }
            }
            batch.drain(None, &devices).unwrap();
            for (device, model) in devices.iter().zip(&model) {
                let mut found = vec![0; size];
                device.read(ByteOffset(0), &mut found).unwrap();
                assert!(found == *model);
            }
        }
    }

    #[test]
    fn what_lies_side_by_side_on_the_disk_and_in_memory_is_one_write() {
        let mut batch = Batch::default();
        let memory = [0; 4096];
        batch.put(&write(0, 1024, 512), 512);
        batch.put(&write(0, 512, 512), 0);
        batch.put(&write(0, 1536, 512), 2048);
        batch.put(&write(1, 2048, 512), 2560);
        let lens = |device| {
            let runs = batch.runs(device, &memory).into_iter();
            runs.map(|run| (run.offset.get(), run.data.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(lens(0), [(512, 1024), (1536, 512)]);
        assert_eq!(lens(1), [(2048, 512)]);
    }
}

//! Writes that are gathered because they may go in any order.

use std::mem;
use std::sync::Arc;

use super::ReplayError;
use super::layers::Layers;
use crate::device::{BlockDevice, SharedBytes, WriteBatch};
use crate::format::Iocb;
use crate::journal::FileMemory;
use crate::units::ByteOffset;

/// Payload bytes that are gathered at most where they are not in memory anyway; a single payload
/// may be larger.
const BUFFER_BYTES: usize = 8 << 20;

/// What writes leave on the devices, done in their order: where one covers another, only the later
/// one's bytes are here. So what is here does not overlap, and may go in any order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    layers: Layers,
    /// Payloads of files that are not in memory.
    buffer: Arc<Vec<u8>>,
    used: usize,
    /// What was handed to the devices last, and may be on its way.
    under_way: Arc<Vec<u8>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Takes in a write whose payload begins at `place` of the memory that [`drain`](Self::drain)
    /// will be given.
    pub(super) fn put(&mut self, iocb: &Iocb, place: usize) {
        self.layers.put(iocb.device, range_of(iocb), place);
    }

    /// Leaves out what is gathered of a range, since something later decides what it holds.
    pub(super) fn forget(&mut self, iocb: &Iocb) {
        if !self.layers.is_empty() {
            self.layers.cut(iocb.device, range_of(iocb));
        }
    }

    /// Whether a payload of `len` bytes has no room in the buffer any more.
    pub(super) fn is_full(&self, len: u32) -> bool {
        self.used > 0 && self.used + len as usize > BUFFER_BYTES
    }

    /// Takes in a write whose payload goes into the buffer, where this points.
    pub(super) fn gather(&mut self, iocb: &Iocb) -> &mut [u8] {
        let payload = self.used..self.used + iocb.stored_size() as usize;
        self.put(iocb, payload.start);
        self.used = payload.end;
        // nobody shares it: a device has let go of it at the end of the last drain
        let buffer = Arc::make_mut(&mut self.buffer);
        if buffer.len() < payload.end {
            buffer.resize(payload.end.next_power_of_two(), 0);
        }
        &mut buffer[payload]
    }

    /// Hands what was gathered to the devices, and is empty again. What they were handed before is
    /// on them then. Payloads lie in `memory`; without it, in the buffer.
    pub(super) fn drain(
        &mut self,
        memory: Option<&Arc<FileMemory>>,
        devices: &[Arc<dyn BlockDevice>],
    ) -> Result<(), ReplayError> {
        let memory: SharedBytes = match memory {
            Some(memory) => memory.clone(),
            None => self.buffer.clone(),
        };
        let pieces = self.layers.pieces();
        for (device, index) in devices.iter().zip(0..) {
            let pieces = pieces.iter().filter(|piece| piece.device == index);
            let writes = pieces.map(|piece| {
                // no longer than the memory in which it lies
                let len = (piece.end - piece.start) as usize;
                (ByteOffset(piece.start), piece.place..piece.place + len)
            });
            let begun = device.write_behind(WriteBatch::new(memory.clone(), writes));
            begun.map_err(writing_to(index.into()))?;
        }
        mem::swap(&mut self.buffer, &mut self.under_way);
        self.clear();
        Ok(())
    }

    /// Forgets what was gathered, and keeps the memory for what comes, up to a usual batch.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.layers.clear();
        if self.buffer.len() > BUFFER_BYTES {
            self.buffer = Arc::default();
        }
    }
}

pub(super) fn writing_to(device: usize) -> impl FnOnce(std::io::Error) -> ReplayError {
    move |source| ReplayError::Device {
        what: "writing to",
        device,
        source,
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
    fn a_batch_takes_one_payload_of_any_size_and_then_is_full() {
        let mut batch = Batch::default();
        assert!(!batch.is_full(BUFFER_BYTES as u32 * 4));
        batch.gather(&write(0, 0, BUFFER_BYTES as u64 * 4)).fill(1);
        assert!(batch.is_full(512));
        let size = ByteLen(BUFFER_BYTES as u64 * 4);
        let device: Arc<dyn BlockDevice> = Arc::new(MemDevice::new(size, 512));
        batch.drain(None, &[device]).unwrap();
        assert!(!batch.is_full(512));
    }

    #[test]
    fn what_is_gathered_while_a_batch_is_under_way_is_another_memory() {
        let device: Arc<dyn BlockDevice> = Arc::new(MemDevice::new(ByteLen(4096), 512));
        let devices = [device];
        let mut batch = Batch::default();
        for byte in 1..4 {
            batch.gather(&write(0, 512, 512)).fill(byte);
            let last = batch.under_way.clone();
            batch.drain(None, &devices).unwrap();
            assert!(!Arc::ptr_eq(&last, &batch.under_way));
            assert_eq!(batch.under_way[..512], [byte; 512]);
            let mut found = [0; 512];
            devices[0].read(ByteOffset(512), &mut found).unwrap();
            assert_eq!(found, [byte; 512]);
        }
    }

    #[test]
    fn what_is_forgotten_is_not_written_and_each_device_gets_its_own() {
        let size = 64 * 512;
        let device = || -> Arc<dyn BlockDevice> { Arc::new(MemDevice::new(ByteLen(size), 512)) };
        let devices = [device(), device()];
        let mut batch = Batch::default();
        batch.gather(&write(0, 0, 2048)).fill(1);
        batch.gather(&write(1, 1024, 2048)).fill(2);
        batch.forget(&write(0, 512, 512));
        batch.gather(&write(0, 1536, 1024)).fill(3);
        batch.drain(None, &devices).unwrap();
        let found = devices.each_ref().map(|device| {
            let mut bytes = vec![0; 4096];
            device.read(ByteOffset(0), &mut bytes).unwrap();
            let (blocks, _) = bytes.as_chunks::<512>();
            blocks.iter().map(|block| block[0]).collect::<Vec<_>>()
        });
        assert_eq!(found[0], [1, 0, 1, 3, 3, 0, 0, 0]);
        assert_eq!(found[1], [0, 0, 2, 2, 2, 2, 0, 0]);
    }
}

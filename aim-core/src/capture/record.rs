//! The record table: what is known of each captured transaction until it is in the journal.
//!
//! It lies in the staging ring, so that it outlives the process. Record `lsn % records` belongs
//! to `lsn`, and its stamp says so: a transaction is there exactly when its record's stamp bears
//! its LSN.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::Kind;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

/// Bytes of one record.
pub(super) const RECORD_BYTES: usize = size_of::<Slot>();

/// One record in shared memory.
#[repr(C, align(64))]
struct Slot {
    /// LSN in the upper bits, [`Stage`] in the lower two. Written last, read first.
    stamp: AtomicU64,
    /// Device in bits 0..16, code of the kind in 16..24, FUA in bit 24.
    what: AtomicU64,
    offset: AtomicU64,
    len: AtomicU64,
    /// For a write the place of the payload in the ring, in bytes; for a verify record the digest.
    payload: AtomicU64,
    time: AtomicU64,
    reserved: [AtomicU64; 2],
}

const _: () = assert!(RECORD_BYTES == 64);

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its I/O on the disk is not complete.
    InFlight,
    /// The disk did it.
    Done,
    /// The disk failed it.
    Failed,
}

/// A captured transaction as it stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) lsn: Lsn,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
    pub(super) device: u16,
    pub(super) offset: ByteOffset,
    pub(super) len: ByteLen,
    pub(super) fua: bool,
    /// Place of the payload in the ring; 0 where there is none.
    pub(super) payload: u64,
    pub(super) time: Timestamp,
}

impl Captured {
    /// Bytes that its payload takes in the ring.
    pub(super) fn payload_len(&self) -> u64 {
        match self.kind {
            Kind::Write => self.len.get(),
            _ => 0,
        }
    }
}

/// View of the record table in the staging ring.
#[derive(Debug)]
pub(super) struct RecordTable {
    slots: NonNull<Slot>,
    /// Number of slots less one; their number is a power of two.
    mask: u64,
}

// SAFETY: slots are made of atomics.
unsafe impl Send for RecordTable {}
// SAFETY: slots are made of atomics.
unsafe impl Sync for RecordTable {}

impl RecordTable {
    /// # Safety
    ///
    /// `start` must be aligned to 64 and head `records` (a power of two) times 64 bytes of memory
    /// that stay mapped as long as the table lives and are used by nobody else in this process.
    pub(super) unsafe fn new(start: NonNull<u8>, records: usize) -> Self {
        Self {
            slots: start.cast(),
            mask: records as u64 - 1,
        }
    }

    /// Transactions that it holds at most.
    pub(super) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Enters a transaction. The caller has made sure that the record's last one is drained.
    pub(super) fn enter(&self, captured: &Captured) {
        let slot = self.slot(captured.lsn);
        let what = u64::from(captured.device)
            | kind_code(captured.kind) << 16
            | u64::from(captured.fua) << 24;
        let payload = match captured.kind {
            Kind::Verify { digest } => digest,
            Kind::BaselineEnd { begin } => begin.get(),
            _ => captured.payload,
        };
        // a reader that meets the new stamp sees the fields that go with it; one that meets the
        // old stamp has no business with the fields, as that transaction is drained
        slot.what.store(what, Ordering::Relaxed);
        slot.offset.store(captured.offset.get(), Ordering::Relaxed);
        slot.len.store(captured.len.get(), Ordering::Relaxed);
        slot.payload.store(payload, Ordering::Relaxed);
        slot.time.store(captured.time.get(), Ordering::Relaxed);
        slot.stamp
            .store(stamp(captured.lsn, captured.stage), Ordering::Release);
    }

    /// Says how a transaction ended.
    pub(super) fn finish(&self, lsn: Lsn, stage: Stage) {
        self.slot(lsn)
            .stamp
            .store(stamp(lsn, stage), Ordering::SeqCst);
    }

    /// The transaction `lsn`, if it is in the table.
    pub(super) fn get(&self, lsn: Lsn) -> Option<Captured> {
        let slot = self.slot(lsn);
        let stamp = slot.stamp.load(Ordering::SeqCst);
        if stamp >> 2 != lsn.get() {
            return None;
        }
        let stage = match stamp & 3 {
            1 => Stage::InFlight,
            2 => Stage::Done,
            3 => Stage::Failed,
            _ => return None,
        };
        let what = slot.what.load(Ordering::Relaxed);
        let payload = slot.payload.load(Ordering::Relaxed);
        let kind = kind_of(what >> 16 & 0xff, payload)?;
        Some(Captured {
            lsn,
            stage,
            kind,
            device: what as u16,
            offset: ByteOffset(slot.offset.load(Ordering::Relaxed)),
            len: ByteLen(slot.len.load(Ordering::Relaxed)),
            fua: what >> 24 & 1 == 1,
            payload: if kind == Kind::Write { payload } else { 0 },
            time: Timestamp(slot.time.load(Ordering::Relaxed)),
        })
    }

    /// Forgets one transaction: what it says is not true any more, its payload is gone.
    pub(super) fn forget(&self, lsn: Lsn) {
        let slot = self.slot(lsn);
        if slot.stamp.load(Ordering::SeqCst) >> 2 == lsn.get() {
            slot.stamp.store(0, Ordering::SeqCst);
        }
    }

    /// Forgets everything: a stamp of an earlier life must not be taken for a new transaction.
    pub(super) fn clear(&self) {
        (0..self.capacity()).for_each(|lsn| self.slot(Lsn(lsn)).stamp.store(0, Ordering::Release));
    }

    fn slot(&self, lsn: Lsn) -> &Slot {
        // SAFETY: the index is below the number of slots, and `new` promises that they are mapped.
        unsafe { self.slots.add((lsn.get() & self.mask) as usize).as_ref() }
    }
}

fn stamp(lsn: Lsn, stage: Stage) -> u64 {
    let stage = match stage {
        Stage::InFlight => 1,
        Stage::Done => 2,
        Stage::Failed => 3,
    };
    lsn.get() << 2 | stage
}

fn kind_code(kind: Kind) -> u64 {
    match kind {
        Kind::Void => 0,
        Kind::Write => 1,
        Kind::WriteZeroes { unmap: true } => 2,
        Kind::WriteZeroes { unmap: false } => 3,
        Kind::Discard => 4,
        Kind::Flush => 5,
        Kind::Verify { .. } => 6,
        Kind::GroupBegin { hole: false } => 7,
        Kind::GroupBegin { hole: true } => 8,
        Kind::GroupEnd => 9,
        Kind::BaselineBegin => 10,
        Kind::BaselineEnd { .. } => 11,
    }
}

fn kind_of(code: u64, payload: u64) -> Option<Kind> {
    Some(match code {
        0 => Kind::Void,
        1 => Kind::Write,
        2 => Kind::WriteZeroes { unmap: true },
        3 => Kind::WriteZeroes { unmap: false },
        4 => Kind::Discard,
        5 => Kind::Flush,
        6 => Kind::Verify { digest: payload },
        7 => Kind::GroupBegin { hole: false },
        8 => Kind::GroupBegin { hole: true },
        9 => Kind::GroupEnd,
        10 => Kind::BaselineBegin,
        11 => Kind::BaselineEnd {
            begin: Lsn(payload),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_under_its_own_lsn_only() {
        let mut memory = vec![[0u64; 8]; 9];
        let aligned = memory.as_mut_ptr().cast::<u8>();
        let skip = aligned.align_offset(64);
        let start = NonNull::new(aligned.wrapping_add(skip)).unwrap();
        // SAFETY: nine records' worth of memory hold eight aligned ones, and outlive the table.
        let table = unsafe { RecordTable::new(start, 8) };
        let captured = Captured {
            lsn: Lsn(11),
            stage: Stage::InFlight,
            kind: Kind::WriteZeroes { unmap: false },
            device: 3,
            offset: ByteOffset(1 << 40),
            len: ByteLen(1 << 33),
            fua: true,
            payload: 0,
            time: Timestamp(5),
        };
        table.enter(&captured);
        assert_eq!(table.get(Lsn(11)), Some(captured));
        assert_eq!(table.get(Lsn(3)), None);
        table.finish(Lsn(11), Stage::Failed);
        assert_eq!(
            table.get(Lsn(11)).map(|found| found.stage),
            Some(Stage::Failed)
        );
        let verify = Captured {
            lsn: Lsn(12),
            kind: Kind::Verify { digest: u64::MAX },
            fua: false,
            ..captured
        };
        table.enter(&verify);
        assert_eq!(table.get(Lsn(12)), Some(verify));
        table.forget(Lsn(4));
        assert_eq!(table.get(Lsn(12)), Some(verify), "another one's");
        table.forget(Lsn(12));
        assert_eq!(table.get(Lsn(12)), None);
    }
}

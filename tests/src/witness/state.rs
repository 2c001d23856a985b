//! What a witness knows.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::task::Waker;

use aim_core::intercept::Outcome;
use aim_core::request::Request;
use aim_core::units::Lsn;

/// One captured request.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// What was asked.
    pub request: Request,
    /// How it ended on the disk, once it has.
    pub outcome: Option<Outcome>,
}

/// How often a caller was told to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// For memory, really or by whim.
    pub full: u64,
    /// For a request in flight on the same range.
    pub overlap: u64,
    /// For the drain, by a flush or a forced write.
    pub durable: u64,
}

/// A frozen payload: its slot, and where it starts.
pub(super) type Payload = (usize, NonNull<u8>);

/// Who needs the bytes of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The front end has the landing.
    held: bool,
    /// A payload in it awaits the drain.
    frozen: bool,
}

#[derive(Debug)]
pub(super) struct State {
    records: Vec<Record>,
    /// Admitted and not yet drained, in order.
    pending: VecDeque<(Lsn, Option<Payload>)>,
    free: Vec<usize>,
    slots: Vec<Slot>,
    waiting: Vec<Waker>,
    asked: u64,
    /// Everything up to here is on the mirror.
    pub(super) durable: Lsn,
    pub(super) waits: Waits,
    pub(super) reads: u64,
    pub(super) ending: bool,
}

// SAFETY: the pointers are to payloads that only the drain reads, see `Memory`.
unsafe impl Send for State {}

impl State {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            records: Vec::new(),
            pending: VecDeque::new(),
            free: (0..slots).collect(),
            slots: vec![Slot::default(); slots],
            waiting: Vec::new(),
            asked: 0,
            durable: Lsn(0),
            waits: Waits::default(),
            reads: 0,
            ending: false,
        }
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether it is time for a refusal out of the blue.
    pub(super) fn refuses(&mut self, every: u64) -> bool {
        self.asked += 1;
        every > 0 && self.asked.is_multiple_of(every)
    }

    pub(super) fn take_slot(&mut self) -> Option<usize> {
        let slot = self.free.pop()?;
        self.slots[slot].held = true;
        Some(slot)
    }

    /// The front end has left a slot: it is free, unless its payload awaits the drain.
    pub(super) fn leave(&mut self, slot: usize) {
        self.slots[slot].held = false;
        self.free_if_unused(slot);
    }

    pub(super) fn wait_for_drain(&mut self, waker: &Waker) {
        self.waiting.push(waker.clone());
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn overlaps(&self, request: &Request) -> bool {
        let mut pending = self.pending.iter().map(|(lsn, _)| self.record(*lsn));
        pending.any(|other| other.outcome.is_none() && other.request.overlaps(request))
    }

    pub(super) fn admit(&mut self, request: Request, payload: Option<Payload>) -> Lsn {
        if let Some((slot, _)) = payload {
            self.slots[slot].frozen = true;
        }
        self.records.push(Record {
            request,
            outcome: None,
        });
        let lsn = Lsn(self.records.len() as u64);
        self.pending.push_back((lsn, payload));
        lsn
    }

    pub(super) fn complete(&mut self, lsn: Lsn, outcome: Outcome) {
        let record = &mut self.records[lsn.get() as usize - 1];
        assert!(record.outcome.is_none(), "LSN {lsn} completed twice");
        record.outcome = Some(outcome);
    }

    /// The next record in order, if it is complete.
    pub(super) fn next_complete(&self) -> Option<(Lsn, Record, Option<Payload>)> {
        let (lsn, payload) = self.pending.front()?;
        let record = self.record(*lsn);
        record.outcome.map(|_| (*lsn, record, *payload))
    }

    /// The record at the head is on the mirror.
    pub(super) fn drained(&mut self) {
        if let Some((lsn, payload)) = self.pending.pop_front() {
            self.durable = lsn;
            if let Some((slot, _)) = payload {
                self.slots[slot].frozen = false;
                self.free_if_unused(slot);
            }
        }
    }

    fn free_if_unused(&mut self, slot: usize) {
        let Slot { held, frozen } = self.slots[slot];
        if !held && !frozen {
            self.free.push(slot);
        }
    }

    fn record(&self, lsn: Lsn) -> Record {
        self.records[lsn.get() as usize - 1]
    }
}

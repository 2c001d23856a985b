//! The gate: gives LSNs under a range lock, and sees that the extent map is ahead of the disk.
//!
//! Overlapping requests in flight have no order in the block layer: disk and mirror could end up
//! with different ones on top. So a request gets its LSN only when no request that overlaps it is
//! in flight, and keeps its range until its I/O on the disk is complete. There is one gate per
//! volume, over all queues and devices.
//!
//! A request that changes the disk goes ahead only when the extents that it changes are noted in
//! the extent map durably: as hot while transactions are captured, as needed while they are only
//! tracked. Where the map itself can't be written it goes ahead all the same.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::extents::{Changes, Extents, Guarantee};
use super::ranges::RangeLocks;
use crate::intercept::Wait;
use crate::request::{Operation, Request};
use crate::units::{Lsn, Timestamp};

/// One per volume.
#[derive(Debug)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    next: Lsn,
    /// First LSN that has no room in the record table yet.
    end: Lsn,
    last_time: Timestamp,
    mode: Mode,
    in_flight: RangeLocks,
    /// The range that a worker wants to have, or has, for itself.
    claim: Option<Request>,
    group: Group,
    /// The begin of the group, if nothing was lost since.
    comparable: Option<Lsn>,
    pub(super) extents: Extents,
    /// Whether requests wait for the extent map; not while it can't be written.
    map_works: bool,
    waiting: Vec<Waker>,
}

/// What happens to requests that change the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They get an LSN and go into the journal.
    Capture,
    /// Their extents are noted.
    Track,
}

/// Where the series stands, as far as the workers need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Outside of a group.
    None,
    /// The begin of one has its LSN.
    Beginning,
    /// Inside of one.
    Open,
    /// Inside of one whose end has its LSN.
    Ending,
}

/// What a request that was let through has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Its place in the order; 0 if it is not captured.
    pub(super) lsn: Lsn,
    /// The lock on its range, if it changes one.
    pub(super) lock: Option<u32>,
}

impl Gate {
    /// Starts with the LSN `next`, with room for `records` transactions, at `last_time`.
    pub(super) fn new(next: Lsn, records: u64, last_time: Timestamp, extents: Extents) -> Self {
        Self(Mutex::new(State {
            next,
            end: Lsn(next.get() + records),
            last_time,
            mode: Mode::Capture,
            in_flight: RangeLocks::new(),
            claim: None,
            group: Group::None,
            comparable: None,
            extents,
            map_works: true,
            waiting: Vec::new(),
        }))
    }

    /// Lets `request` through: gives it its LSN and its time, which never goes back, and calls
    /// `enter` with them before anybody can get the LSN after it.
    ///
    /// A flush covers what completed before it and locks no range.
    pub(super) fn admit(
        &self,
        request: &Request,
        now: Timestamp,
        waker: &Waker,
        enter: impl FnOnce(Lsn, Timestamp),
    ) -> Result<Pass, Wait> {
        let mut state = self.lock();
        if let Some(wait) = state.obstacle(request) {
            state.waiting.push(waker.clone());
            return Err(wait);
        }
        let lsn = match state.mode {
            Mode::Capture => state.give(now, enter),
            Mode::Track => Lsn(0),
        };
        let is_range = request.operation != Operation::Flush;
        let lock = is_range.then(|| state.lock_range(request));
        Ok(Pass { lsn, lock })
    }

    /// Unlocks the range of a completed request and wakes those who wait. What a failed request
    /// has left on the disk nobody knows: its extents have to be copied.
    pub(super) fn unlock(&self, lock: u32, failed: bool) {
        let mut state = self.lock();
        if let Some(request) = state.in_flight.unlock(lock) {
            let range = state.extents.of(&request);
            state.extents.end(range.clone());
            if failed {
                state.extents.need_in_full(range);
            }
        }
        wake(state);
    }

    /// Wants `range` for a worker: from now on no request gets a part of it. Says whether the
    /// worker has it, because nothing is in flight there any more; if not, the waker is kept.
    pub(super) fn claim(&self, range: &Request, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.claim = Some(*range);
        let is_free = !state.in_flight.overlap(range);
        if !is_free {
            state.waiting.push(waker.clone());
        }
        is_free
    }

    /// Gives a claimed range back.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.claim = None;
        wake(state);
    }

    /// Gives a worker's own record its LSN, if `may` still holds and there is room.
    pub(super) fn insert(
        &self,
        now: Timestamp,
        waker: &Waker,
        may: impl FnOnce(&mut State) -> bool,
        enter: impl FnOnce(Lsn, Timestamp),
    ) -> Inserted {
        let mut state = self.lock();
        if state.mode == Mode::Track {
            return Inserted::Refused;
        }
        if state.next >= state.end {
            state.waiting.push(waker.clone());
            return Inserted::Full;
        }
        if !may(&mut state) {
            return Inserted::Refused;
        }
        Inserted::At(state.give(now, enter))
    }

    /// Makes room: everything up to and including `drained` has left the record table.
    pub(super) fn make_room(&self, drained: Lsn, records: u64) {
        let mut state = self.lock();
        state.end = Lsn(drained.get() + 1 + records);
        wake(state);
    }

    /// Nothing more is captured: whatever may not be in the journal has to be copied.
    pub(super) fn track(&self) {
        let mut state = self.lock();
        state.mode = Mode::Track;
        state.extents.need_all_hot();
        wake(state);
    }

    /// The last LSN that was given, while nothing is captured; `lsn` is taken as given, too.
    pub(super) fn last_at_least(&self, lsn: Lsn) -> Lsn {
        let mut state = self.lock();
        state.next = state.next.max(lsn.next());
        state.last()
    }

    /// Captures again, from the next LSN on, inside of a group; with its begin if nothing was
    /// captured in it yet.
    pub(super) fn capture(&self, begin: Option<Lsn>) {
        let mut state = self.lock();
        state.mode = Mode::Capture;
        state.group = Group::Open;
        state.comparable = begin;
        if begin.is_some() {
            state.extents.forget_in_full();
        }
        wake(state);
    }

    /// The series is inside of a group from here on, which begins at `begin` if nothing was
    /// captured in it yet.
    pub(super) fn group_begun(&self, begin: Option<Lsn>) {
        let mut state = self.lock();
        state.group = Group::Open;
        state.comparable = begin;
    }

    /// The series was inside of a group already.
    pub(super) fn group_goes_on(&self) {
        self.lock().group = Group::Open;
    }

    /// The end of the group comes up: whether the series may end it here. All requests with an
    /// earlier LSN are complete.
    pub(super) fn end_group(&self) -> bool {
        let mut state = self.lock();
        let may = state.is_copied();
        state.group = if may { Group::None } else { Group::Open };
        may
    }

    /// Tells whether the extent map can be written; if not, nobody waits for it.
    pub(super) fn set_map_works(&self, works: bool) {
        let mut state = self.lock();
        state.map_works = works;
        wake(state);
    }

    /// Wakes those who wait, because the extent map was written.
    pub(super) fn wake_waiting(&self) {
        wake(self.lock());
    }

    /// What has to be written to the extent map.
    pub(super) fn changes(&self) -> Changes {
        self.lock().extents.changes()
    }

    /// The last LSN that was given.
    pub(super) fn last(&self) -> Lsn {
        self.lock().last()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a worker's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It has its place.
    At(Lsn),
    /// No room: the waker was kept.
    Full,
    /// It may not be there.
    Refused,
}

impl State {
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    /// The last LSN that was given.
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.next.get() - 1)
    }

    /// The begin of the group, if the series tells everything that was done to the disk since,
    /// but for extents in which a request failed.
    pub(super) fn may_compare(&self) -> Option<Lsn> {
        self.comparable
    }

    pub(super) fn set_group(&mut self, group: Group) {
        self.group = group;
    }

    /// Whether everything that can be read is in the journal.
    pub(super) fn is_copied(&self) -> bool {
        self.extents.needed() == self.extents.unreadable()
    }

    fn obstacle(&mut self, request: &Request) -> Option<Wait> {
        if request.operation != Operation::Flush {
            let claimed = self.claim.is_some_and(|claim| claim.overlaps(request));
            if claimed || self.in_flight.overlap(request) {
                return Some(Wait::Overlap);
            }
            let guarantee = match self.mode {
                Mode::Capture => Guarantee::Hot,
                Mode::Track => Guarantee::Need,
            };
            let range = self.extents.of(request);
            if !self.extents.require(range, guarantee) && self.map_works {
                return Some(Wait::Map);
            }
        }
        (self.mode == Mode::Capture && self.next >= self.end).then_some(Wait::Full)
    }

    fn lock_range(&mut self, request: &Request) -> u32 {
        let range = self.extents.of(request);
        self.extents.begin(range);
        self.in_flight.lock(request)
    }

    fn give(&mut self, now: Timestamp, enter: impl FnOnce(Lsn, Timestamp)) -> Lsn {
        let lsn = self.next;
        self.next = lsn.next();
        self.last_time = self.last_time.max(now);
        enter(lsn, self.last_time);
        lsn
    }
}

/// Wakes after the lock is released, so that the woken do not run into it.
fn wake(mut state: MutexGuard<'_, State>) {
    if state.waiting.is_empty() {
        return;
    }
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

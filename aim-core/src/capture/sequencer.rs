//! Gives LSNs under a range lock.
//!
//! Overlapping requests in flight have no order in the block layer: disk and mirror could end up
//! with different ones on top. So a request gets its LSN only when no request that overlaps it is
//! in flight, and keeps its range until its I/O on the disk is complete. There is one sequencer
//! per volume, over all queues and devices.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::intercept::Wait;
use crate::request::{Operation, Request};
use crate::units::{Lsn, Timestamp};

/// The counter of LSNs and the ranges in flight.
#[derive(Debug)]
pub(super) struct Sequencer(Mutex<State>);

#[derive(Debug)]
struct State {
    next: Lsn,
    /// First LSN that has no room in the record table yet.
    end: Lsn,
    last_time: Timestamp,
    in_flight: Vec<(Lsn, Request)>,
    waiting: Vec<Waker>,
}

impl Sequencer {
    /// Starts with the LSN `next`, with room for `records` transactions, at `last_time`.
    pub(super) fn new(next: Lsn, records: u64, last_time: Timestamp) -> Self {
        Self(Mutex::new(State {
            next,
            end: Lsn(next.get() + records),
            last_time,
            in_flight: Vec::new(),
            waiting: Vec::new(),
        }))
    }

    /// Gives `request` its LSN and its time, which never goes back, and calls `enter` with them
    /// before anybody can get the LSN after it.
    ///
    /// A flush covers what completed before it and locks no range.
    pub(super) fn admit(
        &self,
        request: &Request,
        now: Timestamp,
        waker: &Waker,
        enter: impl FnOnce(Lsn, Timestamp),
    ) -> Result<Lsn, Wait> {
        let mut state = self.lock();
        let wait = if state.next >= state.end {
            Some(Wait::Full)
        } else if state
            .in_flight
            .iter()
            .any(|(_, other)| other.overlaps(request))
        {
            Some(Wait::Overlap)
        } else {
            None
        };
        if let Some(wait) = wait {
            state.waiting.push(waker.clone());
            return Err(wait);
        }
        let lsn = state.next;
        state.next = lsn.next();
        state.last_time = state.last_time.max(now);
        if request.operation != Operation::Flush {
            state.in_flight.push((lsn, *request));
        }
        enter(lsn, state.last_time);
        Ok(lsn)
    }

    /// Unlocks the range of a completed request and wakes those who wait.
    pub(super) fn unlock(&self, lsn: Lsn) {
        let mut state = self.lock();
        if let Some(index) = state.in_flight.iter().position(|(held, _)| *held == lsn) {
            state.in_flight.swap_remove(index);
        }
        wake(state);
    }

    /// Makes room: everything up to and including `drained` has left the record table.
    pub(super) fn make_room(&self, drained: Lsn, records: u64) {
        let mut state = self.lock();
        state.end = Lsn(drained.get() + 1 + records);
        wake(state);
    }

    /// The last LSN that was given.
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.lock().next.get() - 1)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::units::{ByteLen, ByteOffset};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(offset: u64) -> Request {
        Request::write(ByteOffset(offset), ByteLen(8))
    }

    #[test]
    fn overlapping_requests_get_their_lsn_one_after_the_other() {
        let sequencer = Sequencer::new(Lsn(1), 8, Timestamp(0));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let admit = |offset| sequencer.admit(&write(offset), Timestamp(9), &waker, |_, _| {});
        assert_eq!(admit(0), Ok(Lsn(1)));
        assert_eq!(admit(4), Err(Wait::Overlap));
        assert_eq!(admit(8), Ok(Lsn(2)));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        sequencer.unlock(Lsn(1));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(admit(4), Err(Wait::Overlap), "8..16 is still in flight");
        sequencer.unlock(Lsn(2));
        assert_eq!(admit(4), Ok(Lsn(3)));
    }

    #[test]
    fn a_full_table_is_back_pressure() {
        let sequencer = Sequencer::new(Lsn(1), 2, Timestamp(0));
        let waker = Waker::noop();
        let admit = || sequencer.admit(&Request::flush(), Timestamp(0), waker, |_, _| {});
        assert_eq!((admit(), admit()), (Ok(Lsn(1)), Ok(Lsn(2))));
        assert_eq!(admit(), Err(Wait::Full));
        sequencer.make_room(Lsn(1), 2);
        assert_eq!(admit(), Ok(Lsn(3)));
        assert_eq!(sequencer.last(), Lsn(3));
    }

    #[test]
    fn times_never_go_back() {
        let sequencer = Sequencer::new(Lsn(1), 8, Timestamp(5));
        let mut times = Vec::new();
        for now in [7, 3, 9] {
            let enter = |_, time: Timestamp| times.push(time.get());
            let flush = Request::flush();
            assert!(
                sequencer
                    .admit(&flush, Timestamp(now), Waker::noop(), enter)
                    .is_ok()
            );
        }
        assert_eq!(times, [7, 7, 9]);
    }
}

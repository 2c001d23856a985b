//! Who waits for the journal to be synced. Those who wait together share one sync.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::units::Lsn;

/// What is durable, and up to where somebody waits.
#[derive(Debug)]
pub(super) struct Durability {
    durable: AtomicU64,
    wanted: AtomicU64,
    /// Set while nothing is captured: then nobody waits.
    suspended: AtomicBool,
    waiting: Mutex<Vec<(Lsn, Waker)>>,
}

impl Durability {
    /// Everything up to and including `durable` is durable already.
    pub(super) fn new(durable: Lsn) -> Self {
        Self {
            durable: AtomicU64::new(durable.get()),
            wanted: AtomicU64::new(durable.get()),
            suspended: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Ready if `lsn` is durable; else keeps the waker and notes that somebody waits.
    pub(super) fn poll(&self, lsn: Lsn, waker: &Waker) -> Poll<()> {
        if self.is_ready(lsn) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // `reached` moves the mark before it takes this lock, so one of the two sees the other
        if self.is_ready(lsn) {
            return Poll::Ready(());
        }
        waiting.push((lsn, waker.clone()));
        self.wanted.fetch_max(lsn.get(), Ordering::SeqCst);
        Poll::Pending
    }

    /// Everything up to and including this is durable.
    pub(super) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::SeqCst))
    }

    /// Whether somebody waits for more than is durable.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.durable.load(Ordering::SeqCst)
    }

    /// Nothing is captured: nobody waits until [`resume`](Self::resume).
    pub(super) fn suspend(&self) {
        self.suspended.store(true, Ordering::SeqCst);
        self.reached(Lsn(u64::MAX), false);
    }

    /// Everything up to and including `durable` is durable or lost, and captured again.
    pub(super) fn resume(&self, durable: Lsn) {
        self.reached(durable, true);
        self.suspended.store(false, Ordering::SeqCst);
    }

    /// The journal was synced up to and including `lsn`.
    pub(super) fn synced(&self, lsn: Lsn) {
        self.reached(lsn, true);
    }

    fn is_ready(&self, lsn: Lsn) -> bool {
        self.durable() >= lsn || self.suspended.load(Ordering::SeqCst)
    }

    fn reached(&self, lsn: Lsn, is_durable: bool) {
        if is_durable {
            self.durable.fetch_max(lsn.get(), Ordering::SeqCst);
        }
        let woken: Vec<Waker> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let ready = waiting.extract_if(.., |(wanted, _)| *wanted <= lsn);
            ready.map(|(_, waker)| waker).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_serves_all_who_wait_before_it() {
        let durability = Durability::new(Lsn(4));
        let waker = Waker::noop();
        assert!(durability.poll(Lsn(4), waker).is_ready());
        assert!(!durability.is_wanted());
        assert!(durability.poll(Lsn(6), waker).is_pending());
        assert!(durability.poll(Lsn(9), waker).is_pending());
        assert!(durability.is_wanted());
        durability.synced(Lsn(6));
        assert!(durability.poll(Lsn(6), waker).is_ready());
        assert!(durability.is_wanted(), "9 still waits");
        durability.synced(Lsn(9));
        assert!(!durability.is_wanted());
    }

    #[test]
    fn nobody_waits_while_nothing_is_captured() {
        let durability = Durability::new(Lsn(4));
        let waker = Waker::noop();
        assert!(durability.poll(Lsn(6), waker).is_pending());
        durability.suspend();
        assert!(durability.poll(Lsn(6), waker).is_ready());
        durability.resume(Lsn(7));
        assert!(durability.poll(Lsn(7), waker).is_ready());
        assert!(durability.poll(Lsn(8), waker).is_pending());
    }
}

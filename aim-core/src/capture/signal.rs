//! Wakes the drain thread, seldom.
//!
//! A write that completes need not be in the journal file at once: it lies in memory that
//! outlives the process. So a running drain looks again by itself after a nap, and is woken
//! early only for what is urgent: a flush that waits, or a full batch.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const RUNNING: u8 = 0;
const NAPPING: u8 = 1;
const IDLE: u8 = 2;

/// How the drain rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is outstanding: whatever comes wakes it; at the latest after this time, if any.
    Idle(Option<Duration>),
    /// Something is outstanding: only what is urgent wakes it before this time has passed.
    Nap(Duration),
}

/// Where the drain rests and others call it.
#[derive(Debug, Default)]
pub(super) struct DrainSignal {
    rest: AtomicU8,
    called: Mutex<bool>,
    changed: Condvar,
}

impl DrainSignal {
    /// Called after something was made ready for the drain (with a `SeqCst` store).
    pub(super) fn ready(&self, urgent: bool) {
        let wake = match self.rest.load(Ordering::SeqCst) {
            RUNNING => false,
            NAPPING => urgent,
            _ => true,
        };
        if wake {
            self.call();
        }
    }

    /// Wakes the drain whatever it does.
    pub(super) fn call(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Rests until called or until the time is over; not at all if `due` says that there is work.
    ///
    /// `due` is asked after the kind of rest is visible to [`ready`](Self::ready), so that
    /// what became ready before that is seen here and what comes later calls.
    pub(super) fn rest(&self, rest: Rest, due: impl FnOnce() -> bool) {
        let (kind, limit) = match rest {
            Rest::Idle(limit) => (IDLE, limit),
            Rest::Nap(limit) => (NAPPING, Some(limit)),
        };
        let mut called = self.lock();
        self.rest.store(kind, Ordering::SeqCst);
        if !*called && !due() {
            called = match limit {
                None => self
                    .changed
                    .wait_while(called, |called| !*called)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    self.changed
                        .wait_timeout_while(called, limit, |called| !*called)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        *called = false;
        self.rest.store(RUNNING, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

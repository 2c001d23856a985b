//! The power of one machine: all of its disks go off at the same instant.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A switch that the disks of a machine share.
///
/// It counts their requests that change or flush something, so that a cut can be aimed at one.
#[derive(Debug)]
pub struct Power {
    state: Mutex<State>,
    off: Condvar,
}

#[derive(Debug)]
struct State {
    on: bool,
    requests: u64,
    cut_at: Option<u64>,
    /// Where the count stood when the cut was planned.
    planned: u64,
}

/// What a disk does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Do it and say so.
    Go,
    /// The power goes as it arrives: it may have reached the cache; nobody is told.
    Cut,
    /// There is no power: nothing.
    Off,
}

impl Power {
    /// A machine that is on.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                on: true,
                requests: 0,
                cut_at: None,
                planned: 0,
            }),
            off: Condvar::new(),
        })
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.lock().on = false;
        self.off.notify_all();
    }

    /// Cuts the power at the request number `requests` from now, 1 being the next. Replaces what
    /// was said before.
    pub fn cut_at(&self, requests: u64) {
        let mut state = self.lock();
        state.cut_at = Some(state.requests + requests);
        state.planned = state.requests;
    }

    /// Waits until the power is off, for at most `patience`. Whether it is.
    #[must_use]
    pub fn wait_off(&self, patience: Duration) -> bool {
        let waited = self
            .off
            .wait_timeout_while(self.lock(), patience, |state| state.on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.on
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.lock().on
    }

    /// How many requests there were since a cut was last [planned](Self::cut_at), or since the
    /// beginning.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let state = self.lock();
        state.requests - state.planned
    }

    /// The power is back, and no cut is planned. The disks must have been told what they lost.
    pub fn restore(&self) {
        let mut state = self.lock();
        state.on = true;
        state.cut_at = None;
    }

    /// Enters a request that changes or flushes a disk.
    pub(crate) fn step(&self) -> Step {
        let mut state = self.lock();
        if !state.on {
            return Step::Off;
        }
        state.requests += 1;
        if state.cut_at.is_none_or(|at| state.requests < at) {
            return Step::Go;
        }
        state.on = false;
        self.off.notify_all();
        Step::Cut
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_request_takes_the_power_with_it() {
        let power = Power::new();
        assert_eq!(power.step(), Step::Go);
        power.cut_at(2);
        assert_eq!(power.step(), Step::Go);
        assert!(!power.wait_off(Duration::ZERO));
        assert_eq!(power.step(), Step::Cut);
        assert!(power.wait_off(Duration::ZERO));
        assert_eq!(power.step(), Step::Off);
        power.restore();
        assert_eq!(power.step(), Step::Go);
        assert_eq!(power.requests(), 3);
    }
}

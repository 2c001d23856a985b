//! When things go wrong: one counter of steps for all doubles of a test.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts every changing or syncing step of the doubles that share it, and makes a chosen one go
/// wrong. Steps are counted from 1.
#[derive(Debug, Default)]
pub struct Power {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    labels: Vec<&'static str>,
    cut_at: Option<u64>,
    fail_at: Option<(u64, io::ErrorKind)>,
    off: bool,
}

/// What a double does in a step.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// All is well: do it.
    Go,
    /// Do a part of it or nothing, then fail with this error; later steps may succeed.
    Fail(io::Error),
    /// The power goes now: what was under way may or may not reach the medium.
    Cut(io::Error),
    /// The power is off: do nothing.
    Off(io::Error),
}

impl Power {
    /// Nothing goes wrong until it is said.
    pub fn steady() -> Arc<Self> {
        Arc::default()
    }

    /// Cuts the power at step `step` from the beginning; every later step fails until
    /// [`restore`](Self::restore).
    pub fn cut_at(&self, step: u64) {
        self.lock().cut_at = Some(step);
    }

    /// Lets step `step` from the beginning fail once.
    pub fn fail_at(&self, step: u64, kind: io::ErrorKind) {
        self.lock().fail_at = Some((step, kind));
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.lock().off = true;
    }

    /// The power is back, for good. The doubles must have been told to forget
    /// (`power_cut`, `crash`) before.
    pub fn restore(&self) {
        let mut state = self.lock();
        state.off = false;
        state.cut_at = None;
        state.fail_at = None;
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        !self.lock().off
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.lock().labels.len() as u64
    }

    /// What each step so far was.
    pub fn labels(&self) -> Vec<&'static str> {
        self.lock().labels.clone()
    }

    /// For doubles: enters the next step.
    pub fn step(&self, label: &'static str) -> Step {
        let mut state = self.lock();
        if state.off {
            return Step::Off(power_is_off());
        }
        state.labels.push(label);
        let now = state.labels.len() as u64;
        if state.cut_at == Some(now) {
            state.off = true;
            return Step::Cut(power_is_off());
        }
        match state.fail_at {
            Some((at, kind)) if at == now => Step::Fail(io::Error::new(
                kind,
                format!("injected at step {now}, {label}"),
            )),
            _ => Step::Go,
        }
    }

    /// For doubles: an error if the power is off; reading is no step.
    pub fn require_on(&self) -> io::Result<()> {
        match self.is_on() {
            true => Ok(()),
            false => Err(power_is_off()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

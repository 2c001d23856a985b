//! The threads of a capture, and a way to run their work by hand.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Wake;
use std::thread::JoinHandle;
use std::time::Duration;

use super::caretaker::Caretaker;
use super::drain::Drain;
use super::interception::NotDrained;
use super::keeper::Keeper;

/// The work of a capture that was started by [`Capture::paused`](super::Capture::paused): done
/// step by step on the caller's thread, in the order of the caller.
#[derive(Debug)]
pub struct Workers {
    pub(super) drain: Drain,
    pub(super) keeper: Keeper,
    pub(super) caretaker: Caretaker,
}

/// One of the workers of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Takes finished transactions from the staging ring into the journal.
    Drain,
    /// Stores the extent map.
    Keeper,
    /// Copies what the mirror lacks, verifies, and cools hot extents.
    Caretaker,
}

impl Worker {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drain, Self::Keeper, Self::Caretaker];
}

impl Workers {
    /// Does one step of a worker's work. Says whether there was something to do; if not, another
    /// worker, a front end or the clock has to move first.
    pub fn step(&mut self, worker: Worker) -> bool {
        match worker {
            Worker::Drain => self.drain.turn(),
            Worker::Keeper => self.keeper.step(),
            Worker::Caretaker => self.caretaker.step(),
        }
    }

    /// Ends the capture as [`Capture::stop`](super::Capture::stop) does.
    ///
    /// # Errors
    ///
    /// [`NotDrained`] when the journal had no room for the rest.
    pub fn stop(self) -> Result<(), NotDrained> {
        let Self {
            drain,
            keeper,
            caretaker,
        } = self;
        drain.shut()?;
        keeper.close(&caretaker);
        Ok(())
    }
}

/// The running threads.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) drain: JoinHandle<Result<(), NotDrained>>,
    pub(super) keeper: JoinHandle<Keeper>,
    pub(super) caretaker: JoinHandle<Caretaker>,
}

/// Where a worker rests, and others call it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Calls the worker; if it does not rest, its next rest ends at once.
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Rests until called, or for so long.
    pub(super) fn rest(&self, at_most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |rung: &mut bool| !*rung;
        let waited = self.changed.wait_timeout_while(rung, at_most, is_quiet);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

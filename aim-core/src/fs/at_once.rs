//! Writing several parts of a file at the same time: one round trip to the disk in place of several.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::time::{ClockId, clock_gettime};

use super::Part;
use crate::intercept::Steady;
use crate::vectored::SLICES_MAX;
use crate::write_queue::{Failure, Request, Ring, write_all};

/// Writes under way at most.
const DEPTH: u32 = 8;

/// The ring of a folder, for all of its files.
#[derive(Debug)]
pub(super) struct AtOnce(Mutex<State>);

#[derive(Debug)]
struct State {
    way: Way,
    /// Where most of what is written lies.
    memory: Option<Weak<dyn Steady>>,
    /// The tick of the clock in which time stamps were set last.
    tick: Option<Timespec>,
}

#[derive(Debug)]
enum Way {
    /// Nobody has needed it yet.
    Untried,
    Open(Box<Ring>),
    /// The kernel lets us have none.
    Refused,
}

impl AtOnce {
    pub(super) fn new() -> Self {
        Self::by(Way::Untried)
    }

    /// There is no ring.
    #[cfg(test)]
    pub(super) fn refused() -> Self {
        Self::by(Way::Refused)
    }

    fn by(way: Way) -> Self {
        Self(Mutex::new(State {
            way,
            memory: None,
            tick: None,
        }))
    }

    /// See [`Directory::hold`](super::Directory::hold).
    pub(super) fn hold(&self, memory: &Arc<dyn Steady>) {
        let mut state = self.lock();
        state.memory = Some(Arc::downgrade(memory));
        if matches!(state.way, Way::Open(_)) {
            state.way = Way::Untried;
        }
    }

    /// Writes all parts to `file`. `None` if there is no ring; then nothing is written.
    pub(super) fn write<'a>(
        &self,
        file: &File,
        parts: &[Part<'a>],
    ) -> Option<Result<(), Failure<'a>>> {
        let mut state = self.lock();
        state.look();
        if matches!(state.way, Way::Open(_)) {
            state.stamp(file);
        }
        let Way::Open(ring) = &mut state.way else {
            return None;
        };
        let queue = ring.to(file).ok()?;
        Some(write_all(queue, parts.iter().flat_map(requests)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes the ring, if nobody has tried to yet.
    fn look(&mut self) {
        if matches!(self.way, Way::Untried) {
            self.way = match Ring::with_memory(DEPTH, self.memory.clone()) {
                Ok(ring) => Way::Open(Box::new(ring)),
                Err(error) => {
                    tracing::info!(%error, "journal files are written without io_uring");
                    Way::Refused
                }
            };
        }
    }

    /// Sets the time stamps of `file`, once in each tick of the clock. Else a write has to, for which
    /// the ring would not wait: it would have a thread of its own do all of the write.
    fn stamp(&mut self, file: &File) {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        if self.tick.replace(now) == Some(now) {
            return;
        }
        let special = |nanos| Timespec {
            tv_sec: 0,
            tv_nsec: nanos,
        };
        let times = Timestamps {
            last_access: special(UTIME_OMIT),
            last_modification: special(UTIME_NOW),
        };
        // where it can't be done the write does it
        let _ = rustix::fs::futimens(file, &times);
    }
}

/// A part in as many requests as it takes.
fn requests<'a>(part: &Part<'a>) -> impl Iterator<Item = Request<'a>> {
    let mut offset = part.offset;
    part.slices.chunks(SLICES_MAX).map(move |slices| {
        let request = Request::new(offset, slices);
        offset += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        request
    })
}

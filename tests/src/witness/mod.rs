//! An interceptor for tests of front ends: it captures onto a mirror and remembers what it saw.
//!
//! It does what the seam allows at its most awkward: little memory, refusals out of the blue,
//! and every wake-up from a thread of its own.

mod drain;
mod memory;
mod state;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use aim_core::device::BlockDevice;
use aim_core::intercept::{
    self, Admission, Interceptor, Landing, LandingWait, Outcome, Ticket, Wait,
};
use aim_core::request::Request;
use aim_core::units::Lsn;

use memory::Memory;
use state::State;
pub use state::{Record, Waits};

/// How awkward a witness is.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// Places for a payload; must be more than the front end's slots.
    pub slots: usize,
    /// Largest payload in bytes.
    pub payload: usize,
    /// Refuse every so many-th landing and admission as if memory were full; 0 for never.
    pub refuse_every: u64,
    /// How long the drain takes over a record.
    pub drain_pause: Duration,
}

/// Captures each changing request, in order, onto a mirror.
#[derive(Debug)]
pub struct Witness {
    shared: Arc<Shared>,
    drain: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A record is complete, a refused caller waits, or the end has come.
    work: Condvar,
    memory: Memory,
    temper: Temper,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a thread of the test panicked")
    }
}

impl Witness {
    /// Captures onto `mirror`, which starts equal to the disk of the front end.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn new(mirror: impl BlockDevice, temper: Temper) -> io::Result<Self> {
        let memory = Memory::new(temper.slots, temper.payload);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(temper.slots)),
            work: Condvar::new(),
            memory,
            temper,
        });
        let drain = std::thread::Builder::new()
            .name("witness-drain".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || drain::run(&shared, &mirror)
            })?;
        Ok(Self {
            shared,
            drain: Some(drain),
        })
    }

    /// All that was captured so far, in order.
    pub fn records(&self) -> Vec<Record> {
        self.shared.state().records().to_vec()
    }

    /// How often callers had to wait, and for what.
    pub fn waits(&self) -> Waits {
        self.shared.state().waits
    }

    /// Reads that were seen.
    pub fn reads(&self) -> u64 {
        self.shared.state().reads
    }

    /// Waits until everything captured is on the mirror.
    ///
    /// # Errors
    ///
    /// Where the mirror could not be written.
    ///
    /// # Panics
    ///
    /// If a request was admitted and never completed.
    pub fn finish(mut self) -> io::Result<Vec<Record>> {
        self.end()?;
        let state = self.shared.state();
        let records = state.records();
        assert!(
            records.iter().all(|record| record.outcome.is_some()),
            "a request was never completed"
        );
        Ok(records.to_vec())
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.state().ending = true;
        self.shared.work.notify_all();
        match self.drain.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(io::Error::other("the drain of the witness panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Interceptor for Witness {
    fn landing(
        &self,
        previous: Option<Landing>,
        capacity: usize,
        waker: &Waker,
    ) -> Result<Landing, LandingWait> {
        assert!(capacity <= self.shared.temper.payload, "{capacity} bytes");
        let mut state = self.shared.state();
        if let Some(landing) = previous {
            if landing.capacity() >= capacity {
                return Ok(landing);
            }
            state.leave(landing.token() as usize);
        }
        let every = self.shared.temper.refuse_every;
        let slot = if state.refuses(every) {
            None
        } else {
            state.take_slot()
        };
        match slot {
            Some(slot) => Ok(self.shared.memory.landing(slot)),
            None => {
                state.waits.full += 1;
                state.wait_for_drain(waker);
                self.shared.work.notify_all();
                Err(LandingWait(None))
            }
        }
    }

    fn admit(
        &self,
        request: &Request,
        landing: Option<&mut Landing>,
        waker: &Waker,
    ) -> Result<Admission, Wait> {
        let mut state = self.shared.state();
        if !request.operation.is_captured() {
            state.reads += 1;
            return Ok(Admission::Pass);
        }
        if state.overlaps(request) {
            state.waits.overlap += 1;
            state.wait_for_drain(waker);
            return Err(Wait::Overlap);
        }
        if state.refuses(self.shared.temper.refuse_every) {
            state.waits.full += 1;
            state.wait_for_drain(waker);
            self.shared.work.notify_all();
            return Err(Wait::Full);
        }
        let payload = landing.map(|landing| {
            let place = (landing.token() as usize, landing.address());
            // nobody lands behind a payload here: the slot is spent
            landing.advance(landing.capacity());
            place
        });
        assert_eq!(payload.is_some(), request.operation.has_payload());
        let lsn = state.admit(*request, payload);
        Ok(Admission::Captured(Ticket::new(lsn, lsn.get())))
    }

    fn complete(&self, ticket: Ticket, outcome: Outcome) {
        let lsn = ticket.settle();
        self.shared.state().complete(Lsn(lsn), outcome);
        self.shared.work.notify_all();
    }

    fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<()> {
        let mut state = self.shared.state();
        if state.durable >= lsn {
            return Poll::Ready(());
        }
        state.waits.durable += 1;
        state.wait_for_drain(waker);
        Poll::Pending
    }

    fn memory(&self) -> Option<intercept::Memory> {
        Some(self.shared.memory.whole())
    }
}

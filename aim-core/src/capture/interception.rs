//! The interceptor that captures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;

use super::drain::Drain;
use super::durability::Durability;
use super::record::{Captured, RecordTable, Stage};
use super::sequencer::Sequencer;
use super::series::Series;
use super::signal::DrainSignal;
use super::staging::Staging;
use super::{CaptureConfig, CaptureState, CaptureStatus, SeriesError, StagingConfig, leftover};
use crate::clock::Clock;
use crate::cursor::Position;
use crate::intercept::{Admission, Interceptor, Landing, LandingWait, Outcome, Ticket, Wait};
use crate::request::{Operation, Request};
use crate::spool::SourceSpool;
use crate::units::{Lsn, Timestamp};

/// Undrained bytes at which the drain is woken from its nap.
pub(super) const URGENT_BYTES: u64 = 256 << 10;

/// Set in the token of a ticket whose range is locked; the other bits are its payload's bytes.
const LOCKS_RANGE: u64 = 1 << 63;

/// Captures the transactions of one volume into its series of journal files.
///
/// Dropping it without [`stop`](Self::stop) is an unclean stop.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    drain: Mutex<Option<JoinHandle<Result<(), NotDrained>>>>,
}

/// What front end and drain have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) staging: Staging,
    pub(super) table: RecordTable,
    pub(super) sequencer: Sequencer,
    pub(super) durability: Durability,
    pub(super) signal: DrainSignal,
    /// Payload bytes completed and not drained.
    pub(super) pending_bytes: AtomicU64,
    pub(super) progress: Mutex<Progress>,
    clock: Box<dyn Clock>,
}

/// What the drain tells, and what it is told.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) state: CaptureState,
    pub(super) uncertain: Option<String>,
    pub(super) drained: Lsn,
    pub(super) sealed: Position,
    pub(super) oldest_unsealed: Option<Timestamp>,
    pub(super) stop: Stop,
}

/// Whether the drain is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// When everything is in a sealed file.
    Clean,
    /// At once, leaving everything as it lies.
    Abandon,
}

/// Why a capture could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The staging ring could not be made or mapped.
    #[error("staging ring of {bytes} bytes")]
    Staging {
        /// Size that was asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The series of journal files could not be taken up.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The drain thread could not be started.
    #[error("starting the drain thread")]
    Thread(#[source] std::io::Error),
}

/// A capture was stopped before everything was in the journal.
///
/// What is missing lies in the staging ring, where the next start finds it, unless the machine is
/// restarted first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped with LSN {drained} in the journal and {captured} captured: {reason}")]
pub struct NotDrained {
    /// Last LSN in a journal file.
    pub drained: Lsn,
    /// Last LSN captured.
    pub captured: Lsn,
    /// Why the rest could not be drained.
    pub reason: String,
}

impl Capture {
    /// Takes up the series in `spool` where it ended and starts to capture.
    ///
    /// After an unclean stop the open journal file is salvaged, what the staging ring still holds
    /// is drained, and [`CaptureStatus::uncertain`] says what may differ.
    pub fn start(
        config: &CaptureConfig,
        spool: SourceSpool,
        clock: impl Clock + Clone,
    ) -> Result<Self, CaptureError> {
        let staging_error = |source| CaptureError::Staging {
            bytes: config.staging.total_bytes(),
            source,
        };
        let mut series = Series::resume(spool, config.seal, Box::new(clock.clone()))?;
        let (staging, existing) =
            Staging::open(config.staging.clone(), series.volume()).map_err(staging_error)?;
        let (start, records) = staging.table();
        // SAFETY: the table lies inside the mapping that `staging` keeps beside it in `Shared`,
        // and only this table uses it.
        let table = unsafe { RecordTable::new(start, records) };
        if existing {
            leftover::drain(&mut series, &staging, &table)?;
        }
        series.begin(existing)?;
        table.clear();
        let last = series.last();
        let shared = Arc::new(Shared {
            sequencer: Sequencer::new(last.next(), table.capacity(), series.last_time()),
            durability: Durability::new(last),
            signal: DrainSignal::default(),
            pending_bytes: AtomicU64::new(0),
            progress: Mutex::new(Progress {
                state: series.state(),
                uncertain: series.uncertain(),
                drained: last,
                sealed: series.sealed(),
                oldest_unsealed: None,
                stop: Stop::No,
            }),
            staging,
            table,
            clock: Box::new(clock),
        });
        let drain = Drain::new(shared.clone(), series);
        let thread = std::thread::Builder::new()
            .name("aim-drain".into())
            .spawn(move || drain.run())
            .map_err(CaptureError::Thread)?;
        Ok(Self {
            shared,
            drain: Mutex::new(Some(thread)),
        })
    }

    /// The staging ring's sizes.
    pub fn staging(&self) -> &StagingConfig {
        self.shared.staging.config()
    }

    /// Where the capture stands.
    pub fn status(&self) -> CaptureStatus {
        let captured = self.shared.sequencer.last();
        let durable = self.shared.durability.durable();
        let progress = self.shared.progress();
        CaptureStatus {
            state: progress.state.clone(),
            uncertain: progress.uncertain.clone(),
            captured,
            drained: progress.drained,
            durable,
            sealed: progress.sealed,
            oldest_unsealed: progress.oldest_unsealed,
        }
    }

    /// Ends the capture cleanly: everything captured is drained, synced and sealed.
    ///
    /// The front end must have completed all its requests. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`NotDrained`] when the journal had no room for the rest.
    pub fn stop(&self) -> Result<(), NotDrained> {
        let thread = self
            .drain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return Ok(()) };
        self.shared.progress().stop = Stop::Clean;
        self.shared.signal.call();
        thread
            .join()
            .unwrap_or_else(|_| Err(self.shared.not_drained("the drain panicked")))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let thread = self.drain.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            self.shared.progress().stop = Stop::Abandon;
            self.shared.signal.call();
            // it returns why not everything is drained, which whoever drops it does not ask
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn not_drained(&self, reason: &str) -> NotDrained {
        let captured = self.sequencer.last();
        NotDrained {
            drained: self.progress().drained,
            captured,
            reason: reason.to_owned(),
        }
    }
}

impl Interceptor for Capture {
    fn landing(
        &self,
        previous: Option<Landing>,
        capacity: usize,
        waker: &Waker,
    ) -> Result<Landing, LandingWait> {
        let landing = self.shared.staging.landing(previous, capacity, waker);
        if landing.is_err() {
            self.shared.signal.ready(true);
        }
        landing
    }

    fn admit(
        &self,
        request: &Request,
        landing: Option<&mut Landing>,
        waker: &Waker,
    ) -> Result<Admission, Wait> {
        let shared = &*self.shared;
        if !request.operation.is_captured() {
            return Ok(Admission::Pass);
        }
        // a flush only marks a boundary: it is ready for the journal at once, so that journal
        // and disk are synced at the same time
        let stage = match request.operation {
            Operation::Flush => Stage::Done,
            _ => Stage::InFlight,
        };
        let admitted = shared
            .sequencer
            .admit(request, shared.clock.now(), waker, |lsn, time| {
                let payload = match landing {
                    Some(landing) if request.operation.has_payload() => {
                        shared.staging.freeze(landing, request.len.get() as usize)
                    }
                    _ => 0,
                };
                shared.table.enter(&Captured {
                    lsn,
                    stage,
                    request: *request,
                    payload,
                    time,
                });
            });
        match admitted {
            Ok(lsn) => Ok(Admission::Captured(Ticket::new(lsn, ticket_token(request)))),
            Err(wait) => {
                shared.signal.ready(wait == Wait::Full);
                Err(wait)
            }
        }
    }

    fn complete(&self, ticket: Ticket, outcome: Outcome) {
        let shared = &*self.shared;
        let lsn = ticket.lsn();
        let token = ticket.settle();
        if token & LOCKS_RANGE != 0 {
            let stage = match outcome {
                Outcome::Done => Stage::Done,
                Outcome::Failed => Stage::Failed,
            };
            shared.table.finish(lsn, stage);
            shared.sequencer.unlock(lsn);
        }
        let bytes = token & !LOCKS_RANGE;
        let pending = shared.pending_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        shared
            .signal
            .ready(pending >= URGENT_BYTES || shared.durability.is_wanted());
    }

    fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<()> {
        let polled = self.shared.durability.poll(lsn, waker);
        if polled.is_pending() {
            self.shared.signal.ready(true);
        }
        polled
    }
}

fn ticket_token(request: &Request) -> u64 {
    let payload = if request.operation.has_payload() {
        request.len.get()
    } else {
        0
    };
    let locks = if request.operation == Operation::Flush {
        0
    } else {
        LOCKS_RANGE
    };
    payload | locks
}

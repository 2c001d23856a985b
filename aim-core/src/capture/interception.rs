//! The interceptor that captures.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::gate::Group;
use super::record::{Captured, Stage};
use super::shared::{Shared, Stop};
use super::worker::Threads;
use super::{Baselines, CaptureStatus, Comparison, ResyncStatus, StagingConfig};
use crate::format::Kind;
use crate::intercept::{
    Admission, Interceptor, Landing, LandingWait, Memory, Outcome, Ticket, Wait,
};
use crate::request::{Operation, Request};
use crate::units::{ByteLen, Lsn};

/// In the token of a ticket: the bytes of its payload, and above them its lock plus one.
const LOCK_SHIFT: u32 = 32;

/// Captures the transactions of one volume into its series of journal files.
///
/// Dropping it without [`stop`](Self::stop) is an unclean stop.
#[derive(Debug)]
pub struct Capture {
    pub(super) shared: Arc<Shared>,
    pub(super) threads: Mutex<Option<Threads>>,
}

/// A capture was stopped before everything was in the journal.
///
/// What is missing lies in the staging ring, where the next start finds it, unless the machine is
/// restarted first; then the extents that it changed are copied from the disk.
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

/// What a resync has to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything; what the mirror holds already need not be sent.
    All,
    /// Whatever has a byte in common with this range of a device. All of it is sent, so that the
    /// mirror has written what was found to differ.
    Range {
        /// Index of the device in the volume.
        device: u16,
        /// First byte.
        offset: crate::units::ByteOffset,
        /// Bytes from there.
        len: ByteLen,
    },
}

impl Capture {
    /// The staging ring's sizes.
    pub fn staging(&self) -> &StagingConfig {
        self.shared.staging.config()
    }

    /// Where the capture stands.
    pub fn status(&self) -> CaptureStatus {
        let shared = &*self.shared;
        let durable = shared.durability.durable();
        let (captured, group, needed, unreadable, hot) = {
            let state = shared.gate.lock();
            let extents = &state.extents;
            let bytes = |count: usize| ByteLen(count as u64 * shared.extent_bytes);
            (
                state.last(),
                state.group(),
                bytes(extents.needed()),
                bytes(extents.unreadable()),
                bytes(extents.hot()),
            )
        };
        let progress = shared.progress();
        let is_whole = group == Group::None && needed.get() == 0;
        CaptureStatus {
            state: progress.state.clone(),
            resync: (!is_whole).then_some(ResyncStatus {
                needed,
                copied: progress.copied,
                unreadable,
            }),
            verify: progress.verify.status(),
            map_trouble: progress.map_trouble.clone(),
            hot,
            captured,
            drained: progress.drained,
            durable,
            sealed: progress.sealed,
            oldest_unsealed: progress.oldest_unsealed,
        }
    }

    /// Where the capture asks what the mirror holds, so that a resync copies only what differs.
    pub fn comparison(&self) -> Arc<Comparison> {
        self.shared.comparison.clone()
    }

    /// Where a baseline is asked for, so that a mirror that lacks files can take up the series again.
    pub fn baselines(&self) -> Arc<Baselines> {
        self.shared.baselines.clone()
    }

    /// Wants ranges of the volume to be copied to the mirror, as one atomic group, beside what
    /// goes on: because a verification found that they differ, or for a first copy. Returns at
    /// once; [`CaptureStatus::resync`] tells how it goes.
    pub fn request_resync(&self, wanted: &[Wanted]) {
        self.shared.want_resync(wanted);
    }

    /// Wants a pass of verification over all of the volume: digests of all ranges go into the
    /// series, and the mirror compares. Returns at once; [`CaptureStatus::verify`] tells how it
    /// goes.
    ///
    /// Gives the number of a pass that begins after this call: once so many
    /// [`passes`](super::VerifyStatus::passes) are complete, everything was digested since.
    pub fn request_verify(&self) -> u64 {
        let pass = self.shared.progress().verify.ask();
        self.shared.caretaker_bell.ring();
        pass
    }

    /// Ends the capture cleanly: everything captured is drained, synced and sealed.
    ///
    /// The front end must have completed all its requests. A second call does nothing. A resync
    /// that is under way is interrupted, and goes on after the next start.
    ///
    /// # Errors
    ///
    /// [`NotDrained`] when the journal had no room for the rest.
    pub fn stop(&self) -> Result<(), NotDrained> {
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(threads) = threads else {
            return Ok(());
        };
        let shared = &self.shared;
        // the caretaker first: it would give out LSNs behind the end
        shared.stop_helpers();
        let caretaker = threads.caretaker.join();
        let keeper = threads.keeper.join();
        shared.progress().stop = Stop::Clean;
        shared.signal.call();
        let drained = threads.drain.join();
        drained.unwrap_or_else(|_| Err(shared.not_drained("the drain panicked")))?;
        match (keeper, caretaker) {
            (Ok(keeper), Ok(caretaker)) => keeper.close(&caretaker),
            // the map stays as after a power cut
            _ => tracing::error!("a worker of the capture panicked"),
        }
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let threads = self
            .threads
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = threads.take() {
            self.shared.stop_helpers();
            self.shared.progress().stop = Stop::Abandon;
            self.shared.signal.call();
            // what is left undone nobody asks for who drops it
            let _ = threads.drain.join();
            let _ = threads.keeper.join();
            let _ = threads.caretaker.join();
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
        let Some(kind) = Kind::of(request.operation) else {
            return Ok(Admission::Pass);
        };
        // a flush only marks a boundary: it is ready for the journal at once, so that journal
        // and disk are synced at the same time
        let stage = match request.operation {
            Operation::Flush => Stage::Done,
            _ => Stage::InFlight,
        };
        let now = shared.clock.now();
        let admitted = shared.gate.admit(request, now, waker, |lsn, time| {
            let captured = Captured {
                lsn,
                stage,
                kind,
                device: request.device,
                offset: request.offset,
                len: request.len,
                fua: request.fua,
                payload: 0,
                time,
            };
            shared.enter(captured, landing);
        });
        match admitted {
            Ok(pass) if pass.lsn == Lsn(0) && pass.lock.is_none() => Ok(Admission::Pass),
            Ok(pass) => {
                let lock = pass.lock.map_or(0, |lock| u64::from(lock) + 1);
                let is_captured = pass.lsn != Lsn(0) && request.operation.has_payload();
                let payload = if is_captured { request.len.get() } else { 0 };
                let token = lock << LOCK_SHIFT | payload;
                Ok(Admission::Captured(Ticket::new(pass.lsn, token)))
            }
            Err(wait) => {
                match wait {
                    Wait::Map => shared.keeper_bell.ring(),
                    Wait::Full | Wait::Overlap => shared.signal.ready(wait == Wait::Full),
                }
                Err(wait)
            }
        }
    }

    fn complete(&self, ticket: Ticket, outcome: Outcome) {
        let shared = &*self.shared;
        let lsn = ticket.lsn();
        let token = ticket.settle();
        let failed = outcome == Outcome::Failed;
        if let Some(lock) = (token >> LOCK_SHIFT).checked_sub(1) {
            // first what the record means, then that it is complete: a drain that sees a failed
            // record finds its extents needed
            shared.gate.unlock(lock as u32, failed);
            if lsn != Lsn(0) {
                let stage = match outcome {
                    Outcome::Done => Stage::Done,
                    Outcome::Failed => Stage::Failed,
                };
                shared.table.finish(lsn, stage);
            }
        }
        if failed {
            shared.caretaker_bell.ring();
        }
        shared.ready(token & ((1 << LOCK_SHIFT) - 1));
    }

    fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<()> {
        let polled = self.shared.durability.poll(lsn, waker);
        if polled.is_pending() {
            self.shared.signal.ready(true);
        }
        polled
    }

    fn memory(&self) -> Option<Memory> {
        Some(self.shared.staging.memory())
    }
}

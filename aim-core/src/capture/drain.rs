//! The drain thread: takes finished transactions in LSN order from the staging ring into the
//! journal, syncs when somebody waits for it, and seals.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::SeriesError;
use super::interception::{NotDrained, Shared, Stop, URGENT_BYTES};
use super::record::{Captured, Stage};
use super::series::Series;
use super::signal::Rest;
use super::staged::staged_records;
use super::{CaptureState, status};
use crate::units::Lsn;

/// Payload bytes taken into one write.
const BATCH_BYTES: u64 = 1 << 20;
/// Transactions taken into one write.
const BATCH_RECORDS: usize = 1024;
/// How long finished transactions may stay in the ring when nothing is urgent.
const NAP: Duration = Duration::from_millis(5);
/// How long to wait before a journal without room is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The state of the drain thread.
#[derive(Debug)]
pub(super) struct Drain {
    shared: Arc<Shared>,
    series: Series,
    /// The first transaction that is not in the journal.
    next: Lsn,
    batch: Vec<Captured>,
}

impl Drain {
    pub(super) fn new(shared: Arc<Shared>, series: Series) -> Self {
        let next = series.last().next();
        Self {
            shared,
            series,
            next,
            batch: Vec::with_capacity(BATCH_RECORDS),
        }
    }

    /// Runs until the capture is stopped.
    pub(super) fn run(mut self) -> Result<(), NotDrained> {
        loop {
            let stop = self.shared.progress().stop;
            if stop == Stop::Abandon {
                return Err(self.shared.not_drained("the capture was abandoned"));
            }
            self.collect();
            let worked = !self.batch.is_empty();
            let finished = stop == Stop::Clean && self.next > self.shared.sequencer.last();
            let step = match self.step() {
                Ok(()) if finished => self.close().map(|()| true),
                step => step.map(|()| false),
            };
            match step {
                Ok(true) => return Ok(()),
                Ok(false) if worked => {}
                Ok(false) => self.rest(),
                Err(error) => self.trouble(error, stop)?,
            }
        }
    }

    /// One round: append what was collected, sync if somebody waits, seal if it is time.
    fn step(&mut self) -> Result<(), SeriesError> {
        while !self.batch.is_empty() {
            let count = {
                let records = staged_records(&self.shared.staging, &self.batch);
                self.series.append(&records)?
            };
            self.leave_ring(count);
        }
        let drained = Lsn(self.next.get() - 1);
        if self.shared.durability.is_wanted() && drained > self.shared.durability.durable() {
            self.series.sync()?;
            self.shared.durability.reached(drained);
        }
        self.series.seal_if_due()?;
        self.publish();
        Ok(())
    }

    /// Gathers finished transactions, in LSN order, up to a batch.
    fn collect(&mut self) {
        self.batch.clear();
        let mut bytes = 0;
        let mut lsn = self.next;
        while self.batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(captured) = self.shared.table.get(lsn) else {
                break;
            };
            match captured.stage {
                Stage::InFlight => break,
                Stage::Failed => self.note_failure(&captured),
                Stage::Done => {}
            }
            bytes += captured.payload_len();
            lsn = lsn.next();
            self.batch.push(captured);
        }
    }

    /// Frees the first `count` transactions of the batch: they are in the journal.
    fn leave_ring(&mut self, count: usize) {
        let mut bytes = 0;
        for captured in self.batch.drain(..count) {
            if captured.request.operation.has_payload() {
                self.shared.staging.thaw(captured.payload);
                bytes += captured.payload_len();
            }
            self.next = captured.lsn.next();
        }
        self.shared
            .pending_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
        let drained = Lsn(self.next.get() - 1);
        self.shared.progress().drained = drained;
        self.shared
            .sequencer
            .make_room(drained, self.shared.table.capacity());
        self.shared.staging.wake_waiting();
    }

    /// A write that failed may have changed part of its range: the mirror must not follow, and
    /// nobody knows what the disk holds.
    fn note_failure(&mut self, captured: &Captured) {
        let request = &captured.request;
        self.series.note_uncertain(&format!(
            "the disk failed a {:?} of {} bytes at {}",
            request.operation, request.len, request.offset
        ));
    }

    fn rest(&self) {
        let outstanding = self.next <= self.shared.sequencer.last();
        let deadline = self.series.seal_due_in();
        let rest = if outstanding {
            Rest::Nap(NAP)
        } else {
            Rest::Idle(deadline)
        };
        let shared = &*self.shared;
        shared.signal.rest(rest, || {
            let next = shared.table.get(self.next);
            let ready = next.is_some_and(|next| next.stage != Stage::InFlight);
            let wanted = shared.durability.is_wanted();
            let drained = Lsn(self.next.get() - 1);
            let urgent = wanted || shared.pending_bytes.load(Ordering::Relaxed) >= URGENT_BYTES;
            ready && (urgent || !outstanding) || wanted && drained > shared.durability.durable()
        });
    }

    /// No room: says so and tries again. Anything else ends the capture, not the disk.
    fn trouble(&mut self, error: SeriesError, stop: Stop) -> Result<(), NotDrained> {
        if error.may_pass() {
            let reason = status::with_causes(&error);
            if stop == Stop::Clean {
                return Err(self.shared.not_drained(&reason));
            }
            let state = CaptureState::Blocked {
                reason: reason.clone(),
            };
            if std::mem::replace(&mut self.shared.progress().state, state)
                == CaptureState::Capturing
            {
                tracing::error!(%reason, "the journal has no room: writers will wait");
            }
            self.shared.signal.rest(Rest::Nap(RETRY), || false);
        } else {
            let reason = status::with_causes(&error);
            tracing::error!(%reason, "capture ends, the disk goes on: the mirror needs a new copy");
            self.series.give_up(&reason);
            self.publish();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), SeriesError> {
        self.series.close()?;
        self.shared.durability.reached(Lsn(self.next.get() - 1));
        self.publish();
        if let Err(error) = self.shared.staging.remove_file() {
            tracing::warn!(%error, "removing the drained staging ring");
        }
        Ok(())
    }

    fn publish(&self) {
        let mut progress = self.shared.progress();
        let state = self.series.state();
        if matches!(progress.state, CaptureState::Blocked { .. }) && progress.state != state {
            tracing::info!("the journal has room again");
        }
        progress.state = state;
        progress.uncertain = self.series.uncertain();
        progress.sealed = self.series.sealed();
        progress.oldest_unsealed = self.series.oldest_unsealed();
    }
}

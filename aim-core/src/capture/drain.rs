//! The drain: takes finished transactions in LSN order from the staging ring into the journal,
//! syncs when somebody waits for it, and seals.
//!
//! When the journal can't take them, and writers shall not wait for it, transactions leave the
//! ring without being journalled: the [gate](super::gate) has noted that their extents have to be
//! copied. The drain tries from time to time whether the journal can be used again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::gate::Mode;
use super::interception::NotDrained;
use super::record::{Captured, Stage};
use super::series::Series;
use super::shared::{Shared, Stop, URGENT_BYTES};
use super::signal::Rest;
use super::staged::staged_record;
use super::{CaptureState, OnFull, SeriesError, Wanted, status};
use crate::format::Kind;
use crate::intercept::Steady;
use crate::units::{ByteLen, Lsn, Timestamp};

/// Payload bytes taken into one write.
const BATCH_BYTES: u64 = 1 << 20;
/// Transactions taken into one write.
const BATCH_RECORDS: usize = 1024;
/// How long finished transactions may stay in the ring when nothing is urgent.
const NAP: Duration = Duration::from_millis(5);
/// How long to wait before a journal that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The state of the drain.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) shared: Arc<Shared>,
    pub(super) series: Series,
    on_full: OnFull,
    /// The first transaction that has not left the ring.
    next: Lsn,
    pub(super) batch: Vec<Captured>,
    /// As what the transactions of the batch are journalled.
    pub(super) kinds: Vec<Kind>,
    /// The begin of the baseline that is under way in the journal; 0: none is.
    pub(super) baseline: Lsn,
    /// Not before this time: the journal fills up, or failed.
    not_before: Timestamp,
    /// Whether something came since it rested last.
    is_busy: bool,
}

/// What a turn has come to.
enum Turn {
    Worked,
    Nothing,
    Finished,
}

impl Drain {
    pub(super) fn new(shared: Arc<Shared>, series: Series, on_full: OnFull) -> Self {
        let next = shared.gate.last().next();
        let payloads: Arc<dyn Steady> = shared.clone();
        series.hold(&payloads);
        Self {
            shared,
            series,
            on_full,
            next,
            batch: Vec::with_capacity(BATCH_RECORDS),
            kinds: Vec::with_capacity(BATCH_RECORDS),
            baseline: Lsn(0),
            not_before: Timestamp(0),
            is_busy: false,
        }
    }

    /// Runs until the capture is stopped.
    pub(super) fn run(mut self) -> Result<(), NotDrained> {
        loop {
            match self.advance()? {
                Turn::Worked => self.is_busy = true,
                Turn::Nothing => self.rest(),
                Turn::Finished => return Ok(()),
            }
        }
    }

    /// One turn by hand. Says whether there was something to do.
    pub(super) fn turn(&mut self) -> bool {
        // a stop is asked for through `shut`
        matches!(self.advance(), Ok(Turn::Worked))
    }

    /// Ends by hand: everything is drained, synced and sealed.
    pub(super) fn shut(mut self) -> Result<(), NotDrained> {
        self.shared.progress().stop = Stop::Clean;
        self.run_to_end()
    }

    fn run_to_end(&mut self) -> Result<(), NotDrained> {
        loop {
            match self.advance()? {
                Turn::Worked => {}
                Turn::Finished => return Ok(()),
                Turn::Nothing => {
                    return Err(self.shared.not_drained("requests are in flight"));
                }
            }
        }
    }

    fn advance(&mut self) -> Result<Turn, NotDrained> {
        let stop = self.shared.progress().stop;
        if stop == Stop::Abandon {
            return Err(self.shared.not_drained("the capture was abandoned"));
        }
        if self.shared.gate.lock().mode() == Mode::Track {
            return Ok(self.track(stop));
        }
        if stop == Stop::No && self.pause().is_some() {
            return Ok(Turn::Nothing);
        }
        self.collect();
        let worked = !self.batch.is_empty();
        let finished = stop == Stop::Clean && self.next > self.shared.gate.last();
        let step = match self.step() {
            Ok(_) if finished => self.close().map(|()| Turn::Finished),
            Ok(synced) if worked || synced => Ok(Turn::Worked),
            Ok(_) => Ok(Turn::Nothing),
            Err(error) => Err(error),
        };
        match step {
            Ok(turn) => Ok(turn),
            Err(error) => self.trouble(&error, stop),
        }
    }

    /// One round: append what was collected, sync if somebody waits, seal if it is time.
    fn step(&mut self) -> Result<bool, SeriesError> {
        self.resolve();
        while !self.batch.is_empty() {
            let count = {
                let pairs = self.batch.iter().zip(&self.kinds);
                let staging = &self.shared.staging;
                let records: Vec<_> = pairs
                    .map(|(captured, kind)| staged_record(staging, captured, *kind))
                    .collect();
                self.series.append(&records)?
            };
            self.leave_ring(count);
        }
        let drained = Lsn(self.next.get() - 1);
        let mut worked = false;
        if self.shared.durability.is_wanted() && drained > self.shared.durability.durable() {
            self.series.sync()?;
            self.shared.durability.synced(drained);
            self.series.write_ahead()?;
            worked = true;
        }
        worked |= self.series.seal_if_due()?;
        self.publish();
        Ok(worked)
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
            if captured.stage == Stage::InFlight {
                break;
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
            if captured.kind == Kind::Write {
                self.shared.staging.thaw(captured.payload);
                bytes += captured.payload_len();
            }
            self.next = captured.lsn.next();
        }
        self.kinds.drain(..count);
        let pending = &self.shared.pending_bytes;
        pending.fetch_sub(bytes as i64, Ordering::Relaxed);
        let drained = Lsn(self.next.get() - 1);
        self.shared.progress().drained = drained;
        let records = self.shared.table.capacity();
        self.shared.gate.make_room(drained, records);
        self.shared.staging.wake_waiting();
        let delay = self.series.fill().delay(bytes);
        if !delay.is_zero() {
            self.not_before = self.shared.later(delay);
        }
    }

    /// How long the journal has to be left alone.
    fn pause(&self) -> Option<Duration> {
        if self.not_before == Timestamp(0) {
            // nearly always: the clock need not be read
            return None;
        }
        let nanos = self
            .not_before
            .get()
            .saturating_sub(self.shared.now().get());
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn rest(&mut self) {
        let shared = &*self.shared;
        let outstanding = self.next <= shared.gate.last();
        // whoever writes now and then shall not have to wake it each time
        let lingers = std::mem::take(&mut self.is_busy);
        let pause = self.pause();
        let rest = if let Some(pause) = pause {
            Rest::Nap(pause)
        } else if shared.gate.lock().mode() == Mode::Track {
            Rest::Idle(Some(RETRY))
        } else if outstanding || lingers {
            Rest::Nap(NAP)
        } else {
            Rest::Idle(self.series.seal_due_in())
        };
        shared.signal.rest(rest, || {
            // what is urgent does not shorten a delay
            if pause.is_some() {
                return false;
            }
            let next = shared.table.get(self.next);
            let is_ready = next.is_some_and(|captured| captured.stage != Stage::InFlight);
            let is_wanted = shared.durability.is_wanted();
            let drained = Lsn(self.next.get() - 1);
            let is_urgent =
                is_wanted || shared.pending_bytes.load(Ordering::Relaxed) >= URGENT_BYTES;
            is_ready && (is_urgent || matches!(rest, Rest::Idle(_)))
                || is_wanted && drained > shared.durability.durable()
        });
    }

    /// What to do about an error: try again later, or go on without the journal.
    fn trouble(&mut self, error: &SeriesError, stop: Stop) -> Result<Turn, NotDrained> {
        let reason = status::with_causes(error);
        if error.may_pass() && self.on_full == OnFull::Block {
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
            self.not_before = self.shared.later(RETRY);
            return Ok(Turn::Nothing);
        }
        self.series.leave(error);
        self.baseline = Lsn(0);
        self.shared.start_tracking(&reason);
        self.not_before = self.shared.later(RETRY);
        Ok(Turn::Worked)
    }

    /// One turn while nothing is captured: what is left in the ring leaves it, and the journal is
    /// tried again.
    fn track(&mut self, stop: Stop) -> Turn {
        self.collect();
        let worked = !self.batch.is_empty();
        for captured in &self.batch {
            // first the record: a successor must not believe it once its payload is gone
            self.shared.table.forget(captured.lsn);
        }
        self.kinds.resize(self.batch.len(), Kind::Void);
        self.leave_ring(self.batch.len());
        let is_empty = self.next > self.shared.gate.last();
        if is_empty && stop == Stop::Clean {
            self.shared.remove_ring();
            return Turn::Finished;
        }
        if !is_empty || self.pause().is_some() {
            return if worked { Turn::Worked } else { Turn::Nothing };
        }
        match self.regain() {
            Ok(true) => Turn::Worked,
            Ok(false) => {
                self.not_before = self.shared.later(RETRY);
                Turn::Nothing
            }
            Err(error) => {
                self.series.leave(&error);
                let reason = status::with_causes(&error);
                self.shared.progress().state = CaptureState::Passthrough { reason };
                self.not_before = self.shared.later(RETRY);
                Turn::Nothing
            }
        }
    }

    /// Captures again, if the journal can be written and has room. Everything that was captured
    /// has left the ring; from here on the series is in a group until all is copied.
    fn regain(&mut self) -> Result<bool, SeriesError> {
        if !self.series.has_room_again()? {
            return Ok(false);
        }
        // what is known good tells where the loss begins
        self.series.close()?;
        if self.series.take_damage() {
            self.shared.want_resync(&[Wanted::All]);
        }
        if self.series.open_group() == Lsn(0) {
            self.shared.progress().copied = ByteLen(0);
        }
        let gate = &self.shared.gate;
        let first = self.series.last().next();
        let last = gate.last_at_least(first);
        // also if bridging fails: nothing up to there will ever come through the ring
        self.next = last.next();
        let was_in_group = self.series.open_group() != Lsn(0);
        self.series.bridge(first.get()..=last.get(), true)?;
        gate.make_room(last, self.shared.table.capacity());
        self.shared.durability.resume(last);
        let begin = (!was_in_group).then_some(first);
        self.shared.stop_tracking(last, begin);
        self.not_before = Timestamp(0);
        self.publish();
        Ok(true)
    }

    fn close(&mut self) -> Result<(), SeriesError> {
        self.series.close()?;
        let last = Lsn(self.next.get() - 1);
        self.shared.durability.synced(last);
        self.publish();
        self.shared.remove_ring();
        Ok(())
    }

    fn publish(&self) {
        let mut progress = self.shared.progress();
        if matches!(progress.state, CaptureState::Blocked { .. }) {
            tracing::info!("the journal has room again");
        }
        progress.state = CaptureState::Capturing;
        progress.sealed = self.series.sealed();
        progress.oldest_unsealed = self.series.oldest_unsealed();
    }
}

//! The worker that makes good what differs: it begins and ends groups, copies what is needed,
//! puts digests into the series, and cools hot extents.
//!
//! ```text
//! needed extents ── group begin ── copy, copy, ... ── group end      (copy.rs)
//! verification   ── digest, digest, ...                              (verify.rs)
//! baselines      ── begin ── copy, copy, ... ── end                  (baseline.rs)
//! hot extents    ── disks synced ── journal synced ── cool           (cooling.rs)
//! ```
//!
//! What it puts into the series gets its place as live writes do. It never holds more than one
//! range, and that only while it reads it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::baseline::Baseline;
use super::compare::Batch;
use super::cooling::Cooling;
use super::copy::Copy;
use super::gate::{Group, Inserted, Mode, State};
use super::record::{Captured, Stage};
use super::shared::Shared;
use super::verify::Verify;
use super::{CaptureConfig, Rates, status};
use crate::format::Kind;
use crate::intercept::Landing;
use crate::request::Request;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

/// How long it rests where nobody calls it.
const REST: Duration = Duration::from_millis(500);
/// How long to wait before extents that can't be read are tried again.
const RETRY_UNREADABLE: Duration = Duration::from_secs(300);

/// The state of the worker.
#[derive(Debug)]
pub(super) struct Caretaker {
    pub(super) shared: Arc<Shared>,
    pub(super) rates: Rates,
    pub(super) waker: Waker,
    pub(super) landing: Option<Landing>,
    pub(super) copy: Option<Copy>,
    pub(super) batch: Option<Batch>,
    /// Whether it asks what the mirror holds.
    pub(super) compares: bool,
    /// The group in which it does not ask any more.
    pub(super) gave_up_comparing: Lsn,
    pub(super) questions: u64,
    pub(super) verify: Verify,
    pub(super) baseline: Baseline,
    /// What the range is for that it has claimed besides copying.
    pub(super) claimed: Option<Claimant>,
    /// The extent behind the one that was copied last.
    pub(super) copy_from: usize,
    /// Nothing is copied before this time: the disk is to be read no faster.
    pub(super) not_before: Timestamp,
    pub(super) cooling: Cooling,
    retry_unreadable_at: Timestamp,
}

/// What a range is claimed for while no group is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimant {
    Baseline,
    Verify,
}

impl Caretaker {
    pub(super) fn new(shared: Arc<Shared>, config: &CaptureConfig) -> Self {
        let now = shared.now();
        Self {
            waker: Waker::from(Arc::clone(&shared.caretaker_bell)),
            rates: config.rates,
            landing: None,
            copy: None,
            batch: None,
            compares: config.compare,
            gave_up_comparing: Lsn(0),
            questions: 0,
            verify: Verify::new(config.verify_every, now),
            baseline: Baseline::default(),
            claimed: None,
            copy_from: 0,
            not_before: Timestamp(0),
            cooling: Cooling::new(config.hot, now),
            retry_unreadable_at: now,
            shared,
        }
    }

    /// Runs until the capture is stopped.
    pub(super) fn run(mut self) -> Self {
        while !self.shared.is_stopping() {
            if !self.step() {
                self.shared.caretaker_bell.rest(self.rest());
            }
        }
        self.shared.gate.release();
        self
    }

    /// Does a little of what there is to do. Says whether that was anything.
    pub(super) fn step(&mut self) -> bool {
        let (mode, group, is_copied, is_needed) = {
            let state = self.shared.gate.lock();
            let is_needed = state.extents.needed() > 0;
            (state.mode(), state.group(), state.is_copied(), is_needed)
        };
        if mode == Mode::Track {
            return self.let_go();
        }
        if self.cool() {
            return true;
        }
        if is_needed {
            self.retry_unreadable();
        }
        if group != Group::None {
            // it would hold up writers until the end of the group
            self.give_claim_back();
        }
        match group {
            Group::None if !is_copied => self.begin_group(),
            Group::None => match self.baseline_step() {
                Some(came_further) => came_further,
                None => self.verify_step(),
            },
            Group::Open if is_copied && self.copy.is_none() && self.batch.is_none() => {
                self.end_group()
            }
            Group::Open => self.copy_step(),
            // the drain is about to tell what becomes of it
            Group::Beginning | Group::Ending => false,
        }
    }

    /// Nothing is captured: whatever was begun is of no use.
    fn let_go(&mut self) -> bool {
        self.cooling.give_up();
        let had_something = self.copy.is_some() || self.batch.is_some() || self.claimed.is_some();
        if had_something {
            self.abandon_copy(false);
            if let Some(batch) = self.batch.take() {
                self.abandon_batch(batch);
            }
            self.give_claim_back();
            self.shared.gate.release();
        }
        had_something
    }

    fn begin_group(&mut self) -> bool {
        self.shared.progress().copied = ByteLen(0);
        self.insert_bare(Kind::GroupBegin { hole: false }, |state| {
            let may = state.group() == Group::None && !state.is_copied();
            if may {
                state.set_group(Group::Beginning);
            }
            may
        })
    }

    fn end_group(&mut self) -> bool {
        self.insert_bare(Kind::GroupEnd, |state| {
            let may = state.group() == Group::Open && state.is_copied();
            if may {
                state.set_group(Group::Ending);
            }
            may
        })
    }

    /// Claims the range of the next piece of a baseline or a verification, in place of the one
    /// that was claimed last. Says whether it has it.
    pub(super) fn claim(&mut self, piece: &Request, by: Claimant) -> bool {
        self.claimed = Some(by);
        self.shared.gate.claim(piece, &self.waker)
    }

    /// Lets go of the range of that piece.
    pub(super) fn give_claim_back(&mut self) {
        if self.claimed.take().is_some() {
            self.shared.gate.release();
        }
    }

    pub(super) fn insert_bare(&self, kind: Kind, may: impl FnOnce(&mut State) -> bool) -> bool {
        let nowhere = Request::write(ByteOffset(0), ByteLen(0));
        matches!(self.insert(kind, &nowhere, None, may), Inserted::At(_))
    }

    /// Gives a record its place, and hands it to the drain.
    pub(super) fn insert(
        &self,
        kind: Kind,
        range: &Request,
        landing: Option<&mut Landing>,
        may: impl FnOnce(&mut State) -> bool,
    ) -> Inserted {
        let shared = &*self.shared;
        let inserted = shared
            .gate
            .insert(shared.now(), &self.waker, may, |lsn, time| {
                let captured = Captured {
                    lsn,
                    stage: Stage::Done,
                    kind,
                    device: range.device,
                    offset: range.offset,
                    len: range.len,
                    fua: false,
                    payload: 0,
                    time,
                };
                shared.enter(captured, landing);
            });
        match inserted {
            Inserted::At(_) => {
                let payload = if kind == Kind::Write {
                    range.len.get()
                } else {
                    0
                };
                shared.ready(payload);
            }
            Inserted::Full => shared.signal.ready(true),
            Inserted::Refused => {}
        }
        inserted
    }

    /// When the next read may be, so that `bytes` do not exceed the rate.
    pub(super) fn next_read(&self, bytes: u64, rate: Option<ByteLen>) -> Timestamp {
        let Some(rate) = rate else {
            return Timestamp(0);
        };
        let seconds = bytes as f64 / (rate.get().max(1)) as f64;
        self.shared.later(Duration::from_secs_f64(seconds))
    }

    /// Syncs the disks. Says whether that went well.
    pub(super) fn sync_disks(&self) -> bool {
        let synced = self
            .shared
            .disks
            .iter()
            .try_for_each(|disk| disk.make_durable());
        if let Err(error) = &synced {
            tracing::error!(
                error = status::with_causes(error),
                "syncing the disk failed"
            );
        }
        synced.is_ok()
    }

    fn retry_unreadable(&mut self) {
        let now = self.shared.now();
        let mut state = self.shared.gate.lock();
        if state.extents.unreadable() == 0 {
            self.retry_unreadable_at = self.shared.later(RETRY_UNREADABLE);
        } else if now >= self.retry_unreadable_at {
            state.extents.retry_unreadable();
        }
    }

    fn rest(&self) -> Duration {
        let now = self.shared.now().get();
        let waits = [self.not_before, self.verify.not_before];
        let nanos = waits.map(|time| time.get().saturating_sub(now));
        let least = nanos.into_iter().filter(|wait| *wait > 0).min();
        least.map_or(REST, |wait| REST.min(Duration::from_nanos(wait)))
    }
}

//! What front end and workers have in common.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::durability::Durability;
use super::gate::Gate;
use super::record::{Captured, RecordTable};
use super::signal::DrainSignal;
use super::staging::Staging;
use super::verify::Passes;
use super::worker::Bell;
use super::{Baselines, CaptureState, Comparison, NotDrained, SourceDisk, Wanted};
use crate::clock::Clock;
use crate::cursor::Position;
use crate::failpoint::{Failpoint, reach};
use crate::format::Kind;
use crate::intercept::{Landing, Memory, Steady};
use crate::request::Request;
use crate::units::{ByteLen, Lsn, Timestamp, VolumeId};

/// Undrained bytes at which the drain is woken from its nap: a write of its own.
pub(super) const URGENT_BYTES: i64 = 1 << 20;

/// What front end and workers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) staging: Staging,
    pub(super) table: RecordTable,
    pub(super) gate: Gate,
    pub(super) durability: Durability,
    pub(super) signal: DrainSignal,
    pub(super) keeper_bell: Arc<Bell>,
    pub(super) caretaker_bell: Arc<Bell>,
    /// Payload bytes completed and not drained; for a moment less than none, where the drain is
    /// faster than whoever counts them.
    pub(super) pending_bytes: AtomicI64,
    pub(super) progress: Mutex<Progress>,
    pub(super) volume: VolumeId,
    pub(super) disks: Vec<Arc<dyn SourceDisk>>,
    pub(super) comparison: Arc<Comparison>,
    pub(super) baselines: Arc<Baselines>,
    /// Bytes of an extent.
    pub(super) extent_bytes: u64,
    pub(super) clock: Box<dyn Clock>,
    /// Whether keeper and caretaker are to end.
    pub(super) is_stopping: AtomicBool,
}

/// What the workers tell, and what they are told.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) state: CaptureState,
    pub(super) map_trouble: Option<String>,
    pub(super) drained: Lsn,
    pub(super) sealed: Position,
    pub(super) oldest_unsealed: Option<Timestamp>,
    pub(super) copied: ByteLen,
    pub(super) verify: Passes,
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

// SAFETY: the ring is unmapped when its last user is gone, and that has this; it keeps its pages.
unsafe impl Steady for Shared {
    fn memory(&self) -> Memory {
        self.staging.memory()
    }
}

impl Shared {
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time in so long.
    pub(super) fn later(&self, delay: Duration) -> Timestamp {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Timestamp(self.now().get().saturating_add(nanos))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Lets keeper and caretaker end.
    pub(super) fn stop_helpers(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.caretaker_bell.ring();
        self.keeper_bell.ring();
    }

    pub(super) fn want_resync(&self, wanted: &[Wanted]) {
        {
            let mut state = self.gate.lock();
            let extents = &mut state.extents;
            extents.retry_unreadable();
            for wanted in wanted {
                match *wanted {
                    Wanted::All => extents.need(0..extents.count()),
                    Wanted::Range {
                        device,
                        offset,
                        len,
                    } => {
                        let range = extents.of(&Request {
                            device,
                            ..Request::write(offset, len)
                        });
                        extents.need_in_full(range);
                    }
                }
            }
        }
        self.keeper_bell.ring();
        self.caretaker_bell.ring();
    }

    /// The journal can't be used: the disk goes on, and what changes is noted.
    pub(super) fn start_tracking(&self, reason: &str) {
        tracing::error!(
            reason,
            "capture pauses, the disk goes on: what changes is noted, and will be copied"
        );
        self.progress().state = CaptureState::Passthrough {
            reason: reason.to_owned(),
        };
        // before anything that the ring does not tell
        self.staging.is_tracking().store(1, Ordering::SeqCst);
        if reach(Failpoint::TrackingNoted).is_err() {
            return;
        }
        self.baselines.spoil();
        self.gate.track();
        self.durability.suspend();
        self.keeper_bell.ring();
        self.caretaker_bell.ring();
    }

    /// The journal is used again, from behind `last` on, in the group that begins at `group` if
    /// that was begun just now.
    pub(super) fn stop_tracking(&self, last: Lsn, group: Option<Lsn>) {
        tracing::info!(
            lsn = last.get(),
            "capture goes on: what has changed is copied"
        );
        self.progress().drained = last;
        self.gate.capture(group);
        self.staging.is_tracking().store(0, Ordering::SeqCst);
        self.keeper_bell.ring();
        self.caretaker_bell.ring();
    }

    /// Everything in the ring is in the journal, or noted.
    pub(super) fn remove_ring(&self) {
        if let Err(error) = self.staging.remove_file() {
            tracing::warn!(%error, "removing the drained staging ring");
        }
    }

    pub(super) fn not_drained(&self, reason: &str) -> NotDrained {
        NotDrained {
            drained: self.progress().drained,
            captured: self.gate.last(),
            reason: reason.to_owned(),
        }
    }

    /// Enters a transaction whose payload, if it is a write, lies at the start of `landing`.
    pub(super) fn enter(&self, captured: Captured, landing: Option<&mut Landing>) {
        let payload = match landing {
            Some(landing) if captured.kind == Kind::Write => {
                let len = captured.len.get() as usize;
                self.staging.freeze(landing, len)
            }
            _ => 0,
        };
        self.table.enter(&Captured {
            payload,
            ..captured
        });
    }

    /// Says to the drain that so many bytes are ready for it.
    pub(super) fn ready(&self, bytes: u64) {
        // a payload has at most 32 MiB, and the ring holds them all
        let bytes = bytes as i64;
        let pending = self.pending_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.signal
            .ready(pending >= URGENT_BYTES || self.durability.is_wanted());
    }
}

//! Takes hot extents back that are not written to any more.
//!
//! Time is cut into generations. An extent to which nothing was done for so many of them is idle;
//! where too many are hot, after one. Only where there are idle ones are disks and journal synced:
//! that is a checkpoint, and the idle extents cool.

use std::task::Poll;
use std::time::Duration;

use super::HotPolicy;
use super::caretaker::Caretaker;
use crate::failpoint::{Failpoint, reach};
use crate::units::{Lsn, Timestamp};

/// Generations in the time for which extents stay hot.
const GENERATIONS: u32 = 12;
/// The shortest generation where too many extents are hot: each costs the disk a flush.
const SOONEST: Duration = Duration::from_millis(500);

/// When generations end, and the checkpoint that is under way.
#[derive(Debug)]
pub(super) struct Cooling {
    policy: HotPolicy,
    checkpoint: Option<Checkpoint>,
    /// When the generation began.
    since: Timestamp,
}

/// Disks are synced; the journal has to follow.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    /// Up to this generation all is durable then.
    generation: u32,
    lsn: Lsn,
}

impl Cooling {
    pub(super) fn new(policy: HotPolicy, now: Timestamp) -> Self {
        Self {
            policy,
            checkpoint: None,
            since: now,
        }
    }

    /// Forgets the checkpoint that is under way.
    pub(super) fn give_up(&mut self) {
        self.checkpoint = None;
    }
}

impl Caretaker {
    /// Does the next step towards cooling. Says whether there was one.
    pub(super) fn cool(&mut self) -> bool {
        match self.cooling.checkpoint {
            Some(checkpoint) => self.end_checkpoint(checkpoint),
            None => self.begin_checkpoint(),
        }
    }

    fn begin_checkpoint(&mut self) -> bool {
        let policy = self.cooling.policy;
        let now = self.shared.now();
        let most = policy.bytes.get() / self.shared.extent_bytes;
        let (generation, lsn) = {
            let mut state = self.shared.gate.lock();
            let hot = state.extents.hot() as u64;
            let (length, kept) = match hot > most {
                false => (policy.age / GENERATIONS, GENERATIONS),
                true => (SOONEST.min(policy.age / GENERATIONS), 1),
            };
            let since = now.get().saturating_sub(self.cooling.since.get());
            if hot == 0 || u128::from(since) < length.as_nanos() {
                return false;
            }
            self.cooling.since = now;
            let ended = state.extents.next_generation();
            let generation = ended.saturating_sub(kept);
            if !state.extents.has_idle(generation) {
                return false;
            }
            (generation, state.last())
        };
        // if that fails: what the disk may have dropped is copied after a power cut only while it
        // stays hot
        if self.sync_disks() && reach(Failpoint::CheckpointDisks).is_ok() {
            self.cooling.checkpoint = Some(Checkpoint { generation, lsn });
        }
        true
    }

    fn end_checkpoint(&mut self, Checkpoint { generation, lsn }: Checkpoint) -> bool {
        match self.shared.durability.poll(lsn, &self.waker) {
            Poll::Ready(()) => {
                self.shared.gate.lock().extents.cool(generation);
                self.cooling.checkpoint = None;
                self.shared.keeper_bell.ring();
                true
            }
            Poll::Pending => {
                self.shared.signal.ready(true);
                false
            }
        }
    }
}

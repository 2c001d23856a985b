//! How shipping is going, for `aim status`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aim_core::cursor::{Position, StoreReader};
use aim_core::replay::Differences;
use aim_core::units::Timestamp;

use super::ShipError;
use crate::coordinator::{Rate, Trouble};
use crate::transport::{Bandwidth, Progress};

/// How shipping is going.
#[derive(Clone, Debug, Default)]
pub struct ShipStatus {
    /// The far directory.
    pub target: String,
    /// The last file that is whole on the far side, with all before it; not yet verified there.
    pub shipped: Position,
    /// What the mirror host has verified and made durable, when last asked.
    pub received: Position,
    /// What is on the mirror's devices, when last asked.
    pub applied: Position,
    /// Time of the newest transaction on the mirror's devices; 0 before the first.
    pub applied_time: Timestamp,
    /// Where the mirror is known to differ, as of `applied` or later; `None` if that could not be
    /// read yet.
    pub differences: Option<Differences>,
    /// Files that are sealed and not received.
    pub waiting_files: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was begun; `None` if none waits.
    pub oldest_waiting: Option<Timestamp>,
    /// Bytes that went over the line, since the start.
    pub sent_bytes: u64,
    /// Bytes of the journal files that have arrived since the start: packed ones count as what
    /// they were.
    pub delivered_bytes: u64,
    /// Average over the last ten seconds.
    pub bytes_per_second: u64,
    /// How often the mirror host refused a file, since the start.
    pub set_aside_files: u64,
    /// The last of them.
    pub last_set_aside: Option<SetAside>,
    /// What the mirrors say that follow it, where it is a store; when last asked.
    pub readers: Vec<StoreReader>,
    /// What is in the way.
    pub trouble: Option<Trouble<ShipError>>,
}

/// A file that the mirror host refused, and that was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its name.
    pub name: String,
    /// What the mirror host says, if it could be read.
    pub reason: Option<String>,
}

/// The status as the coordinator writes it and others read it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Of all files, since the start.
    pub(super) progress: Progress,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    status: ShipStatus,
    rate: Rate,
}

impl Shared {
    /// For uploads that together stay below a bandwidth.
    pub(super) fn throttled(bandwidth: Bandwidth) -> Self {
        Self {
            progress: Progress::throttled(bandwidth),
            inner: Mutex::default(),
        }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut ShipStatus)) {
        change(&mut self.lock().status);
    }

    pub(super) fn snapshot(&self) -> ShipStatus {
        let mut inner = self.lock();
        let mut status = inner.status.clone();
        status.sent_bytes = self.progress.sent();
        status.bytes_per_second = inner.rate.sample(Instant::now(), status.sent_bytes);
        status
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How fetching is going, for `aim status`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aim_core::units::FileNumber;

use super::FetchError;
use crate::coordinator::{Rate, Trouble};

/// How fetching is going.
#[derive(Clone, Debug, Default)]
pub struct FetchStatus {
    /// Where from.
    pub place: String,
    /// The last file that the store has, when last asked; 0: none.
    pub in_store: FileNumber,
    /// Whether there is no baseline in the store yet at which the mirror could begin.
    pub waits_for_baseline: bool,
    /// Files that are in the store and not here, when last asked.
    pub waiting_files: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Bytes that came over the line, since the start.
    pub fetched_bytes: u64,
    /// Average over the last ten seconds.
    pub bytes_per_second: u64,
    /// What is in the way.
    pub trouble: Option<Trouble<FetchError>>,
}

/// The status as the coordinator writes it and others read it.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<(FetchStatus, Rate)>);

impl Shared {
    pub(super) fn update(&self, change: impl FnOnce(&mut FetchStatus)) {
        change(&mut self.lock().0);
    }

    pub(super) fn snapshot(&self) -> FetchStatus {
        let mut inner = self.lock();
        let mut status = inner.0.clone();
        status.bytes_per_second = inner.1.sample(Instant::now(), status.fetched_bytes);
        status
    }

    fn lock(&self) -> MutexGuard<'_, (FetchStatus, Rate)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

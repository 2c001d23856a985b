//! How receiving and applying are going, for `aim status`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aim_core::cursor::{MirrorCursor, MirrorCursorFile, Position};
use aim_core::journal::FileName;
use aim_core::replay::{Differences, Run};
use aim_core::units::{FileNumber, Lsn, Timestamp};

use super::ApplyError;
use crate::coordinator::{Rate, Trouble};

/// How receiving and applying are going.
#[derive(Clone, Debug)]
pub struct ApplyStatus {
    /// The last file that is verified and durable here.
    pub received: Position,
    /// The last file that is on the devices.
    pub applied: Position,
    /// Whether the devices hold exactly what `applied` says; if not, an apply is under way or
    /// was interrupted.
    pub is_settled: bool,
    /// Time of the newest transaction on the devices; 0 before the first.
    pub applied_time: Timestamp,
    /// Files in `incoming/` that are not applied.
    pub waiting_files: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was begun; `None` if none waits, or it can't be read.
    pub oldest_waiting: Option<Timestamp>,
    /// The file that comes next, where later ones have arrived before it.
    pub missing: Option<FileNumber>,
    /// Whether nothing is taken up before a baseline comes: nobody asks what the devices hold.
    pub waits_for_baseline: bool,
    /// Where the group begins for whose end the mirror waits; until then it stays before it.
    pub open_group: Option<Lsn>,
    /// Files of it that have been received, and wait for the end.
    pub group_files: u64,
    /// Where the devices are known to differ from the source.
    pub differences: Differences,
    /// Bytes of journal files that were applied since the start.
    pub applied_bytes: u64,
    /// Average over the last ten seconds.
    pub bytes_per_second: u64,
    /// Files that were set aside since the start.
    pub rejected_files: u64,
    /// The last of them.
    pub last_rejected: Option<Rejected>,
    /// A file in `incoming/` that is wrong, and is set aside if it stays so.
    pub unfinished: Option<Rejected>,
    /// What is in the way of receiving.
    pub receive_trouble: Option<Trouble<ApplyError>>,
    /// What is in the way of applying.
    pub apply_trouble: Option<Trouble<ApplyError>>,
}

/// A file that was set aside, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its name in `rejected/`, or where it still is.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The status as the coordinator writes it and others read it.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Inner>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) waiting_files: u64,
    pub(super) waiting_bytes: u64,
    /// The first of them, and when it was begun, if that could be read.
    pub(super) oldest_waiting: Option<(FileName, Option<Timestamp>)>,
    pub(super) missing: Option<FileNumber>,
    pub(super) open_group: Option<Lsn>,
    pub(super) group_files: u64,
    differences: Option<Differences>,
    pub(super) applied_bytes: u64,
    pub(super) rejected_files: u64,
    pub(super) last_rejected: Option<Rejected>,
    pub(super) unfinished: Option<Rejected>,
    pub(super) receive_trouble: Option<Trouble<ApplyError>>,
    pub(super) apply_trouble: Option<Trouble<ApplyError>>,
    rate: Rate,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_rejected(&self, name: String, reason: String) {
        let mut inner = self.lock();
        inner.rejected_files += 1;
        inner.last_rejected = Some(Rejected { name, reason });
    }

    pub(super) fn note_unfinished(&self, name: &str, reason: &str) {
        self.lock().unfinished = Some(Rejected {
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Says what the applier waits for.
    pub(super) fn note_run(&self, run: &Run) {
        let mut inner = self.lock();
        inner.open_group = run.waits_in_group();
        inner.group_files = match inner.open_group {
            Some(_) => run.files().len() as u64,
            None => 0,
        };
    }

    pub(super) fn note_differences(&self, differences: &Differences) {
        let mut inner = self.lock();
        if inner.differences.as_ref() != Some(differences) {
            inner.differences = Some(differences.clone());
        }
    }

    pub(super) fn snapshot(&self, cursor: &MirrorCursorFile, is_follower: bool) -> ApplyStatus {
        let cursor: MirrorCursor = cursor.get();
        let waits_for_baseline = is_follower && cursor.received.is_start();
        let mut inner = self.lock();
        let applied_bytes = inner.applied_bytes;
        ApplyStatus {
            received: cursor.received,
            applied: cursor.applied,
            is_settled: cursor.is_settled(),
            applied_time: cursor.applied_time,
            waiting_files: inner.waiting_files,
            waiting_bytes: inner.waiting_bytes,
            oldest_waiting: inner.oldest_waiting.and_then(|(_, created)| created),
            missing: inner.missing.filter(|_| !waits_for_baseline),
            waits_for_baseline,
            open_group: inner.open_group,
            group_files: inner.group_files,
            differences: (inner.differences.clone())
                .unwrap_or_else(|| Differences::new(cursor.volume)),
            applied_bytes,
            bytes_per_second: inner.rate.sample(Instant::now(), applied_bytes),
            rejected_files: inner.rejected_files,
            last_rejected: inner.last_rejected.clone(),
            unfinished: inner.unfinished.clone(),
            receive_trouble: inner.receive_trouble.clone(),
            apply_trouble: inner.apply_trouble.clone(),
        }
    }
}

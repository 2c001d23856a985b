//! The targets of a volume, and what is known of each.

use std::time::Duration;

use aim_core::cursor::{RelayCursor, Standing, TargetRecord, TargetsCursor};
use aim_core::units::{Lsn, Timestamp};

/// A place that a volume is shipped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: ASCII, up to 32 bytes.
    pub name: String,
    /// Whether it can be asked what it holds.
    pub kind: TargetKind,
    /// How far behind it may be before it is left to a resync.
    pub max_lag: MaxLag,
}

/// Whether a target can be asked what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetKind {
    /// It is a mirror. What it holds need not be copied.
    #[default]
    Mirror,
    /// There is nobody to ask, as in a store that mirrors read from: nothing is known to be held by
    /// those who follow it. It takes up the series at a baseline, and while files are kept for
    /// it nothing is compared: what is needed is copied in full.
    Store,
}

/// How far behind a target may be; without either, as far as there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxLag {
    /// Bytes of files that are kept for it.
    pub bytes: Option<u64>,
    /// Age of the oldest of them.
    pub age: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    /// As [`TargetsCursor::compared`].
    pub(super) compared: Lsn,
    pub(super) targets: Vec<Entry>,
    /// What the journal may take, when that was looked at last.
    pub(super) room: u64,
    /// When that was.
    pub(super) now: Timestamp,
}

impl State {
    /// Before the journal was looked at.
    pub(super) fn new(compared: Lsn, targets: Vec<Entry>) -> Self {
        Self {
            compared,
            targets,
            room: u64::MAX,
            now: Timestamp(0),
        }
    }

    /// The same, with another record for one of the targets.
    pub(super) fn with(&self, index: usize, record: TargetRecord) -> Self {
        let mut state = self.clone();
        state.targets[index].record = record;
        state
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: TargetKind,
    pub(super) max_lag: MaxLag,
    pub(super) record: TargetRecord,
    /// Why it is left.
    pub(super) left_because: Option<String>,
    /// What those behind it need, as it says.
    pub(super) behind: Option<RelayCursor>,
}

impl Entry {
    pub(super) fn new(target: &Target, record: TargetRecord) -> Self {
        Self {
            kind: target.kind,
            max_lag: target.max_lag,
            record,
            left_because: None,
            behind: None,
        }
    }
}

/// What is known of the targets from before, or `otherwise`.
pub(super) fn entries(
    targets: &[Target],
    noted: Option<TargetsCursor>,
    otherwise: Standing,
) -> Vec<Entry> {
    let known = noted.map(|noted| noted.targets).unwrap_or_default();
    let entries = targets.iter().map(|target| {
        let otherwise = match target.kind {
            TargetKind::Mirror => otherwise,
            TargetKind::Store => Standing::New,
        };
        let known = known.iter().find(|record| record.name == target.name);
        let record = known.cloned();
        let record = record.unwrap_or_else(|| TargetRecord::new(&target.name, otherwise));
        Entry::new(target, record)
    });
    entries.collect()
}

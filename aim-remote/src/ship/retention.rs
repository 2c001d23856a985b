//! Which files are kept, and for whom: what the targets of a volume have in common.
//!
//! A file goes when every target has it that it is kept for. What each target has is noted in
//! `targets.cursor`, so that one that can't be reached after a start still holds its files back.
//!
//! ```text
//!            reached, and the next file is here
//!   new ───────────────────────────────────────▶ follows
//!    │                                             │  ▲
//!    │ a file is missing,                a file is │  │ the baseline
//!    │ or a group left something out     missing   │  │ is applied
//!    └─────────────────────────▶ joins ◀───────────┘  │
//!                                 │ └─────────────────┘
//!   any ── past its max_lag ──▶ left ── reached ──▶ follows or joins
//! ```
//!
//! Who *follows* is a party to every comparison. Who *joins* gets all from a
//! [baseline](aim_core::capture::Baselines) on; nothing is compared meanwhile. A target that is left,
//! or new, may follow again only if no group has left out anything since what it has applied: it
//! was not asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aim_core::capture::{Baselines, Capture, Comparison};
use aim_core::cursor::{MirrorCursor, Position, Standing, TargetRecord, TargetsCursor};
use aim_core::failpoint::Failpoint;
use aim_core::journal::FileName;
use aim_core::spool::{Listing, SourceSpool, SpoolError, WaitingFile};
use aim_core::state_file::{StateError, StateFile};
use aim_core::units::{FileNumber, Lsn, MirrorId};

use super::ShipError;
use super::course::Course;
use crate::transport::pass;

/// A place that a volume is shipped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: ASCII, up to 32 bytes.
    pub name: String,
    /// How far behind it may be before it is left to a resync.
    pub max_lag: MaxLag,
}

/// How far behind a target may be; without either, as far as there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxLag {
    /// Bytes of files that are kept for it.
    pub bytes: Option<u64>,
    /// Age of the oldest of them.
    pub age: Option<Duration>,
}

/// What the targets of a volume have in common.
#[derive(Debug)]
pub struct Retention {
    pub(super) spool: SourceSpool,
    /// Whether it is noted what targets have; it is not for the only one that nobody configured.
    is_noted: bool,
    pub(super) capture: Option<Handles>,
    state: Mutex<State>,
}

/// What a capture does for its targets.
#[derive(Clone, Debug)]
pub(super) struct Handles {
    pub(super) comparison: Arc<Comparison>,
    pub(super) baselines: Arc<Baselines>,
}

#[derive(Debug)]
pub(super) struct State {
    /// As [`TargetsCursor::compared`].
    pub(super) compared: Lsn,
    pub(super) targets: Vec<Entry>,
    /// What the journal may take, when that was looked at last.
    pub(super) room: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) max_lag: MaxLag,
    pub(super) record: TargetRecord,
    /// Why it is left.
    pub(super) left_because: Option<String>,
}

impl Retention {
    /// The only target of a volume, of which nothing is noted: what is here, it does not have.
    pub fn single(spool: SourceSpool) -> Arc<Self> {
        let record = TargetRecord::new("target", Standing::Follows);
        Arc::new(Self {
            spool,
            is_noted: false,
            capture: None,
            state: Mutex::new(State {
                compared: Lsn(0),
                targets: vec![Entry {
                    max_lag: MaxLag::default(),
                    record,
                    left_because: None,
                }],
                room: u64::MAX,
            }),
        })
    }

    /// The targets of a volume, 1 to [`TARGETS_MAX`](aim_core::cursor::TARGETS_MAX) of different
    /// names, and the capture that fills its journal. What was noted of others is forgotten: they let
    /// go of their files.
    ///
    /// # Errors
    ///
    /// [`SpoolError::State`] if what was noted can't be read.
    pub fn open(
        spool: SourceSpool,
        targets: Vec<Target>,
        capture: &Capture,
    ) -> Result<Arc<Self>, SpoolError> {
        let noted = load(&spool)?;
        let sealed = spool.sealed()?;
        // before targets were noted there was one, and it was asked about everything
        let is_only = noted.is_none() && targets.len() == 1;
        let otherwise = match is_only || sealed.is_start() {
            true => Standing::Follows,
            false => Standing::New,
        };
        let compared = noted.as_ref().map_or(sealed.lsn, |noted| noted.compared);
        let known = noted.map(|noted| noted.targets).unwrap_or_default();
        let entries = targets.into_iter().map(|target| Entry {
            record: (known
                .iter()
                .find(|record| record.name == target.name)
                .cloned())
            .unwrap_or_else(|| TargetRecord::new(&target.name, otherwise)),
            max_lag: target.max_lag,
            left_because: None,
        });
        let retention = Self {
            spool,
            is_noted: true,
            capture: Some(Handles {
                comparison: capture.comparison(),
                baselines: capture.baselines(),
            }),
            state: Mutex::new(State {
                compared: if is_only { Lsn(0) } else { compared },
                targets: entries.collect(),
                room: u64::MAX,
            }),
        };
        {
            let state = retention.lock();
            if let Err(error) = retention.store(&state) {
                tracing::warn!(%error, "what the targets have can't be noted");
            }
        }
        retention.tell_capture();
        Ok(Arc::new(retention))
    }

    /// Takes up what the capture has to know from the start.
    fn tell_capture(&self) {
        let state = self.lock();
        for (index, entry) in state.targets.iter().enumerate() {
            self.tell_of(&state, index, entry.record.standing);
        }
    }

    /// Has the capture ask the target, or wait for it, or neither.
    fn tell_of(&self, state: &State, index: usize, standing: Standing) {
        let Some(Handles {
            comparison,
            baselines,
        }) = &self.capture
        else {
            return;
        };
        let who = index as u32;
        match standing {
            Standing::Follows => comparison.admit(who),
            Standing::New | Standing::Joins | Standing::Left => comparison.dismiss(who),
        }
        let others = state
            .targets
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index);
        let mut others = others.map(|(_, entry)| entry.record.standing);
        let any_joins = standing == Standing::Joins || others.any(|other| other == Standing::Joins);
        // first this: what is begun for its sake must find nothing compared
        comparison.suspend(any_joins);
        if standing != Standing::Joins {
            baselines.unwant(who);
        }
    }

    /// Notes that a question about the group that begins at `group` is about to be put: what the
    /// group leaves out, only its parties hold.
    pub(super) fn note_compared(&self, group: Lsn) -> Result<(), SpoolError> {
        let mut state = self.lock();
        if state.compared < group {
            let compared = std::mem::replace(&mut state.compared, group);
            self.store(&state)
                .inspect_err(|_| state.compared = compared)?;
        }
        Ok(())
    }

    /// Notes which mirror was found at a target. Another one than before has been asked nothing.
    pub(super) fn meet(&self, index: usize, mirror: MirrorId) -> Result<(), SpoolError> {
        let mut state = self.lock();
        let mut record = state.targets[index].record.clone();
        if record.mirror == mirror || mirror == MirrorId::default() {
            return Ok(());
        }
        let is_other = record.mirror != MirrorId::default();
        record.mirror = mirror;
        if is_other && self.capture.is_some() {
            tracing::warn!(target = record.name, "it is another mirror than before");
            record = TargetRecord {
                mirror,
                ..TargetRecord::new(&record.name, Standing::New)
            };
        }
        self.change(&mut state, index, record)
    }

    /// Takes what the cursor of a target and the files in its `incoming/` prove, removes the files that nobody needs any more, and
    /// says what the target is to be sent.
    pub(super) fn take(
        &self,
        index: usize,
        cursor: &MirrorCursor,
        far: &BTreeMap<String, u64>,
    ) -> Result<Course, ShipError> {
        let mut state = self.lock();
        let journal = self.look()?;
        let record = state.targets[index].record.clone();
        let found = self.find(cursor, far, &journal)?;
        let next = self.next_record(&state, &record, cursor, &journal, found)?;
        if next != record {
            self.change(&mut state, index, next.clone())?;
        }
        if next.standing == Standing::Joins
            && let Some(handles) = &self.capture
        {
            handles.baselines.want(index as u32, next.from_lsn);
        }
        self.remove_unneeded(&state)?;
        let listing = self.spool.outgoing()?;
        self.pace_baseline(&state, &listing);
        drop(state);
        Ok(self.course(&next, cursor, &listing))
    }

    pub(super) fn of_this_series(&self, listing: &Listing, from: FileNumber) -> Vec<WaitingFile> {
        let identity = self.spool.identity();
        let is_ours = |file: &&WaitingFile| {
            (file.name.volume, file.name.epoch) == (identity.id, identity.epoch)
                && file.name.number >= from
        };
        listing.files.iter().filter(is_ours).copied().collect()
    }

    /// Removes what no target needs any more. Only this removes a file.
    pub(super) fn remove_unneeded(&self, state: &State) -> Result<(), ShipError> {
        let needed = state.targets.iter().map(|entry| entry.record.needs_from());
        // where all are left, nothing that is sealed is of use
        let floor = match needed.flatten().min() {
            Some(floor) => floor,
            None => self.spool.sealed()?.file.next(),
        };
        if floor <= FileNumber(1) {
            return Ok(());
        }
        pass(Failpoint::ShipReceipt, MirrorCursor::NAME)?;
        let removed = self.spool.remove_received(Position {
            epoch: self.spool.identity().epoch,
            file: FileNumber(floor.get() - 1),
            ..Position::START
        })?;
        if removed > 0 {
            tracing::debug!(removed, before = %floor, "every target has it");
        }
        Ok(())
    }

    /// Changes what is known of a target. Where it stands is stored before anything follows from
    /// it; how far it is is stored if that goes, since less than the truth does no harm.
    pub(super) fn change(
        &self,
        state: &mut State,
        index: usize,
        record: TargetRecord,
    ) -> Result<(), SpoolError> {
        let before = std::mem::replace(&mut state.targets[index].record, record);
        let standing = state.targets[index].record.standing;
        let is_alone = state.targets.len() == 1;
        let same_standing = standing == before.standing;
        let same_mirror = state.targets[index].record.mirror == before.mirror;
        if is_alone && same_mirror && same_standing && standing == Standing::Follows {
            // what it does not have is what is here
            return Ok(());
        }
        match self.store(state) {
            Err(error) if !same_standing && standing != Standing::Left => {
                state.targets[index].record = before;
                return Err(error);
            }
            Err(error) => tracing::warn!(%error, "what the targets have can't be noted"),
            Ok(()) => {}
        }
        if !same_standing {
            self.tell_of(state, index, standing);
            log_standing(&state.targets[index].record, before.standing);
            if standing != Standing::Left {
                state.targets[index].left_because = None;
            }
        }
        Ok(())
    }

    fn store(&self, state: &State) -> Result<(), SpoolError> {
        if !self.is_noted {
            return Ok(());
        }
        let cursor = TargetsCursor {
            volume: self.spool.identity().id,
            compared: state.compared,
            targets: state
                .targets
                .iter()
                .map(|entry| entry.record.clone())
                .collect(),
        };
        let root = self.spool.root();
        let stored = cursor.store(&**root);
        stored.map_err(|source| failed(&self.spool, source))
    }

    pub(super) fn name(&self, number: FileNumber) -> FileName {
        let identity = self.spool.identity();
        FileName {
            volume: identity.id,
            epoch: identity.epoch,
            number,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_standing(record: &TargetRecord, before: Standing) {
    let target = &record.name;
    match (record.standing, before) {
        (Standing::Joins, _) => tracing::warn!(
            target,
            "it lacks files that are not here any more: it takes up the series at a baseline"
        ),
        (Standing::Follows, Standing::Joins) => {
            tracing::info!(
                target,
                "it has taken up the series, and follows each change"
            );
        }
        _ => {}
    }
}

fn load(spool: &SourceSpool) -> Result<Option<TargetsCursor>, SpoolError> {
    let loaded = TargetsCursor::load(&**spool.root()).and_then(|noted| {
        if let Some(noted) = &noted {
            noted.require_volume(spool.identity().id)?;
        }
        Ok(noted)
    });
    loaded.map_err(|source| failed(spool, source))
}

fn failed(spool: &SourceSpool, source: StateError) -> SpoolError {
    let folder = spool.root().path();
    SpoolError::State { folder, source }
}

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
//!   any ── past its max_lag ──▶ left ──┬─ within it again ──▶ follows
//!                                      └─ a file is missing ─▶ joins
//! ```
//!
//! Who *follows* is a party to every comparison. Who *joins* gets all from a
//! [baseline](aim_core::capture::Baselines) on; nothing is compared meanwhile. For who is *left*
//! nothing is kept, but what is here it is sent. A target that is left, or new, may follow again
//! only if no group has left out anything since what it has applied: it was not asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aim_core::capture::Capture;
use aim_core::cursor::{
    MirrorCursor, Position, RelayCursor, Standing, TargetRecord, TargetsCursor,
};
use aim_core::failpoint::Failpoint;
use aim_core::journal::FileName;
use aim_core::spool::{Listing, Outgoing, SourceSpool, SpoolError, WaitingFile};
use aim_core::state_file::{StateError, StateFile};
use aim_core::units::{FileNumber, Lsn, MirrorId};

use super::ShipError;
use super::course::Course;
use super::origin::Origin;
use super::targets::{Entry, MaxLag, State, Target, TargetKind, entries};
use crate::coordinator::Signal;
use crate::relay::Relay;
use crate::transport::pass;

/// What the targets of a volume have in common.
#[derive(Debug)]
pub struct Retention {
    pub(super) spool: Arc<dyn Outgoing>,
    /// What targets need beside the files. The only target that nobody configured has none, and what it
    /// has is not noted.
    pub(super) origin: Option<Origin>,
    /// Set where a mirror passes on what it receives.
    pub(super) relay: Option<Arc<Relay>>,
    state: Mutex<State>,
}

impl Retention {
    /// The only target of a volume, of which nothing is noted: what is here, it does not have.
    pub fn single(spool: SourceSpool) -> Arc<Self> {
        let target = Target {
            name: "target".to_owned(),
            kind: TargetKind::Mirror,
            max_lag: MaxLag::default(),
        };
        let record = TargetRecord::new(&target.name, Standing::Follows);
        Arc::new(Self {
            spool: Arc::new(spool),
            origin: None,
            relay: None,
            state: Mutex::new(State::new(Lsn(0), vec![Entry::new(&target, record)])),
        })
    }

    /// The targets of a volume, 1 to [`TARGETS_MAX`](aim_core::cursor::TARGETS_MAX) of different names, and the capture that fills its
    /// journal. What was noted of others is forgotten: they let go of their files.
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
        let compared = if is_only { Lsn(0) } else { compared };
        let state = State::new(compared, entries(&targets, noted, otherwise));
        Ok(Self::begin(Self {
            spool: Arc::new(spool),
            origin: Some(Origin::capture(capture)),
            relay: None,
            state: Mutex::new(state),
        }))
    }

    /// The same for those whom a mirror passes on to what it receives.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn relay(relay: &Arc<Relay>, targets: Vec<Target>) -> Result<Arc<Self>, SpoolError> {
        let noted = load(&**relay)?;
        let state = State::new(Lsn(0), entries(&targets, noted, Standing::New));
        Ok(Self::begin(Self {
            spool: Arc::clone(relay) as Arc<dyn Outgoing>,
            origin: Some(Origin::relay(relay)),
            relay: Some(Arc::clone(relay)),
            state: Mutex::new(state),
        }))
    }

    fn begin(self) -> Arc<Self> {
        {
            let state = self.lock();
            if let Err(error) = self.store(&state) {
                tracing::warn!(%error, "what the targets have can't be noted");
            }
        }
        self.tell_origin();
        Arc::new(self)
    }

    /// Whether a target can be asked what it holds.
    pub(super) fn kind(&self, index: usize) -> TargetKind {
        self.lock().targets[index].kind
    }

    /// Whether its targets are followers: mirrors that are never asked what they hold.
    pub(super) fn has_followers(&self) -> bool {
        self.relay.is_some()
    }

    /// Hints at a signal when there are more files, if they don't come by a rename.
    pub(super) fn tell(&self, signal: &Arc<Signal>) {
        if let Some(relay) = &self.relay {
            relay.tell(signal);
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
        if is_other && self.origin.is_some() {
            tracing::warn!(target = record.name, "it is another mirror than before");
            record = TargetRecord {
                mirror,
                ..TargetRecord::new(&record.name, Standing::New)
            };
        }
        self.change(&mut state, index, record)
    }

    /// A target can't be reached for now: what rests for the sake of those behind it goes on.
    pub(super) fn lose_sight(&self, index: usize) {
        if let Some(behind) = &mut self.lock().targets[index].behind {
            behind.rests = false;
        }
    }

    /// Takes what a target says, removes the files that nobody needs any more, and says what the
    /// target is to be sent.
    pub(super) fn take(&self, index: usize, said: &Said) -> Result<Course, ShipError> {
        let mut state = self.lock();
        let journal = self.spool.look()?;
        let record = state.targets[index].record.clone();
        let cursor = &said.cursor;
        let found = self.find(cursor, &said.files, &journal)?;
        let next = self.next_record(&state, index, cursor, &journal, found)?;
        if next != record {
            self.change(&mut state, index, next.clone())?;
        }
        if next.standing == Standing::Joins
            && let Some(origin) = &self.origin
        {
            origin.baselines.want(index as u32, next.from_lsn);
        }
        self.ask_for_those_behind(&mut state, index, said.relay);
        self.remove_unneeded(&state)?;
        let listing = self.spool.look()?.listing;
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

    /// The first file that is kept for a target; `None`: it holds nothing back.
    pub(super) fn needs_from(&self, record: &TargetRecord) -> Option<FileNumber> {
        match record.standing {
            // it begins with a baseline that is still to come
            Standing::New if self.has_followers() => None,
            _ => record.needs_from(),
        }
    }

    /// The first file that a mirror which passes files on has not applied itself.
    pub(super) fn of_use_here(&self) -> Option<FileNumber> {
        let relay = self.relay.as_ref()?;
        Some(relay.cursor().get().applied.file.next())
    }

    /// Removes what no target needs any more. Only this removes a file.
    pub(super) fn remove_unneeded(&self, state: &State) -> Result<(), ShipError> {
        let all = state.targets.iter();
        let needed = all.filter_map(|entry| self.needs_from(&entry.record));
        // where all are left, nothing that is sealed is of use
        let floor = match needed.min() {
            Some(floor) => floor,
            None => self.spool.look()?.sealed.file.next(),
        };
        if floor <= FileNumber(1) {
            return Ok(());
        }
        pass(Failpoint::ShipReceipt, MirrorCursor::NAME)?;
        let removed = self.spool.remove(Position {
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
        if self.origin.is_none() {
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
        stored.map_err(|source| failed(&*self.spool, source))
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

/// What a target says of itself.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) cursor: MirrorCursor,
    /// The files of its `incoming/`, with their lengths.
    pub(super) files: BTreeMap<String, u64>,
    /// What those behind it need, if there is anybody.
    pub(super) relay: Option<RelayCursor>,
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

fn load(spool: &dyn Outgoing) -> Result<Option<TargetsCursor>, SpoolError> {
    let loaded = TargetsCursor::load(&**spool.root()).and_then(|noted| {
        if let Some(noted) = &noted {
            noted.require_volume(spool.identity().id)?;
        }
        Ok(noted)
    });
    loaded.map_err(|source| failed(spool, source))
}

fn failed(spool: &dyn Outgoing, source: StateError) -> SpoolError {
    let folder = spool.root().path();
    SpoolError::State { folder, source }
}

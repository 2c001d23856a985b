//! Who is too far behind.

use std::time::Duration;

use aim_core::cursor::{Standing, TargetRecord};
use aim_core::spool::{Listing, SpoolError, WaitingFile};
use aim_core::units::{Lsn, Timestamp};

use super::ShipError;
use super::receipt::open;
use super::retention::Retention;
use super::targets::{Entry, State};

/// Fill of the journal from which on the target that is furthest behind is left, where another
/// one is not as far: writers are slowed above this.
const LEAVE_ABOVE: f64 = 0.7;

/// How a target stands with respect to what is kept for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// Where it stands.
    pub standing: Standing,
    /// Why it was left, if it is.
    pub left_because: Option<String>,
    /// Files that are kept for it.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Whether mirrors behind it wait for a baseline.
    pub is_needed_behind: bool,
}

impl Retention {
    /// Leaves targets that are past their `max_lag`, removes what is kept for nobody else, and has a
    /// baseline rest while one that needs it is far behind. To be called from time to time;
    /// `room` is what the journal may take at most, if that is limited.
    ///
    /// # Errors
    ///
    /// If the journal folder can't be looked at.
    pub fn check(&self, now: Timestamp, room: Option<u64>) -> Result<(), ShipError> {
        let mut state = self.lock();
        let listing = self.spool.look()?.listing;
        let given = listing.bytes().saturating_add(self.spool.free_bytes()?);
        state.room = room.map_or(given, |room| room.min(given));
        state.now = now;
        for index in 0..state.targets.len() {
            if let Some(why) = self.why_left(&state, index, &listing) {
                self.leave(&mut state, index, why)?;
            }
        }
        self.pace_baseline(&state, &listing);
        self.remove_unneeded(&state)
    }

    /// How a target stands.
    pub fn status(&self, index: usize) -> TargetStatus {
        let state = self.lock();
        let Some(entry) = state.targets.get(index) else {
            return TargetStatus::default();
        };
        let kept = self
            .spool
            .look()
            .map(|found| self.kept(&entry.record, &found.listing));
        TargetStatus {
            standing: entry.record.standing,
            left_because: entry.left_because.clone(),
            kept_files: kept.as_ref().map_or(0, |files| files.len() as u64),
            kept_bytes: kept.map_or(0, |files| bytes(&files)),
            is_needed_behind: entry.behind.is_some_and(|behind| behind.wanted > Lsn(0)),
        }
    }

    fn leave(&self, state: &mut State, index: usize, why: String) -> Result<(), SpoolError> {
        let record = &state.targets[index].record;
        tracing::error!(
            target = record.name,
            why,
            "left behind: what it lacks is not kept for it any more, and it needs a resync"
        );
        let record = TargetRecord {
            standing: Standing::Left,
            ..record.clone()
        };
        state.targets[index].left_because = Some(why);
        self.change(state, index, record)
    }

    /// Why a target has to be left, if it has to be.
    pub(super) fn why_left(
        &self,
        state: &State,
        index: usize,
        listing: &Listing,
    ) -> Option<String> {
        let too_far = self.is_too_far(state, &state.targets[index], listing);
        let (used, room) = (listing.bytes(), state.room);
        let is_in_the_way = || {
            used as f64 > room as f64 * LEAVE_ABOVE && self.furthest(state, listing) == Some(index)
        };
        too_far.or_else(|| {
            is_in_the_way().then(|| format!("the journal uses {used} of {room} bytes for its sake"))
        })
    }

    fn is_too_far(&self, state: &State, entry: &Entry, listing: &Listing) -> Option<String> {
        let kept = self.kept(&entry.record, listing);
        let lag = bytes(&kept);
        if let Some(most) = entry.max_lag.bytes
            && lag > most
        {
            return Some(format!("it lacks {lag} bytes, more than {most}"));
        }
        let most = entry.max_lag.age?;
        let oldest = open(&*self.spool, kept.first()?.name).ok()?;
        let age = state
            .now
            .get()
            .saturating_sub(oldest.header().created.get());
        let age = Duration::from_nanos(age);
        (age > most).then(|| format!("it lacks what is {} s old", age.as_secs()))
    }

    /// The one that most is kept for, if less is kept for another one.
    fn furthest(&self, state: &State, listing: &Listing) -> Option<usize> {
        let needs = |entry: &Entry| self.needs_from(&entry.record);
        let all = state.targets.iter().enumerate();
        let kept = all.filter_map(|(index, entry)| Some((needs(entry)?, index)));
        let (first, index) = kept.min()?;
        let least = state.targets.iter().filter_map(needs).max()?;
        // a mirror that passes files on needs the room for itself
        let least = least.max(self.of_use_here().unwrap_or(least));
        let between = self.of_this_series(listing, first);
        // it helps only if files go by that
        let helps = between.first().is_some_and(|file| file.name.number < least);
        helps.then_some(index)
    }

    /// A baseline is worth nothing to a mirror that is left because of it.
    pub(super) fn pace_baseline(&self, state: &State, listing: &Listing) {
        let Some(origin) = &self.origin else {
            return;
        };
        let mut joining = state.targets.iter();
        let is_far = joining.any(|entry| {
            let most = entry.max_lag.bytes.unwrap_or(state.room).min(state.room) / 2;
            entry.behind.is_some_and(|behind| behind.rests)
                || entry.record.standing == Standing::Joins
                    && bytes(&self.kept(&entry.record, listing)) > most
        });
        origin.baselines.pause(is_far);
    }

    fn kept(&self, record: &TargetRecord, listing: &Listing) -> Vec<WaitingFile> {
        let from = self.needs_from(record);
        from.map_or_else(Vec::new, |from| self.of_this_series(listing, from))
    }
}

fn bytes(files: &[WaitingFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

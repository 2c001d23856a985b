//! Who needs a baseline, and how the one that is under way goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::worker::Bell;
use crate::units::{ByteLen, Lsn};

/// Where those who bring the series to a mirror ask for a baseline: all of the volume, put into the
/// series beside what goes on. A mirror that lacks files can take the series up there; one that
/// lacks none applies it like anything else.
#[derive(Debug)]
pub struct Baselines {
    state: Mutex<State>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct State {
    /// Who needs one, and where it has to begin at the earliest.
    wanted: BTreeMap<u32, Lsn>,
    is_paused: bool,
    stage: Stage,
    /// Where the last one began that is in sealed files to its end; 0: none is.
    ended: Lsn,
    covered: u64,
    total: u64,
}

/// How far the present one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// Its begin has this LSN.
    Running { begin: Lsn },
    /// Its end has one, too; it counts once it is in a sealed file.
    Ending { begin: Lsn, end: Lsn },
}

/// How the baseline that is under way goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaselineStatus {
    /// Whether somebody needs one.
    pub is_wanted: bool,
    /// Whether it rests, because a mirror that needs it is too far behind.
    pub is_paused: bool,
    /// LSN of its begin; 0: none is under way.
    pub begin: Lsn,
    /// Where the last one began that is in sealed files to its end; 0: none was since the start.
    pub ended: Lsn,
    /// Bytes of the volume that it has put into the series.
    pub covered: ByteLen,
    /// Bytes of the volume.
    pub total: ByteLen,
}

impl Baselines {
    pub(super) fn new(bell: Arc<Bell>, total: u64) -> Self {
        let state = Mutex::new(State {
            total,
            ..State::default()
        });
        Self { state, bell }
    }

    /// Wants a baseline that begins at `from` or behind it, on behalf of `who`. Returns at once;
    /// there is one when [`BaselineStatus::ended`] is no less than `from`.
    pub fn want(&self, who: u32, from: Lsn) {
        if self.lock().wanted.insert(who, from) != Some(from) {
            self.bell.ring();
        }
    }

    /// Does not need one any more. What nobody needs is given up.
    pub fn unwant(&self, who: u32) {
        self.lock().wanted.remove(&who);
    }

    /// Lets it rest, so that those who need it catch up, or go on.
    pub fn pause(&self, is_paused: bool) {
        let was = std::mem::replace(&mut self.lock().is_paused, is_paused);
        if was && !is_paused {
            self.bell.ring();
        }
    }

    /// How it goes.
    pub fn status(&self) -> BaselineStatus {
        let state = self.lock();
        BaselineStatus {
            is_wanted: state.is_needed(),
            is_paused: state.is_paused,
            begin: match state.stage {
                Stage::Idle => Lsn(0),
                Stage::Running { begin } | Stage::Ending { begin, .. } => begin,
            },
            ended: state.ended,
            covered: ByteLen(state.covered),
            total: ByteLen(state.total),
        }
    }

    /// What is to be done: nothing while nobody needs it or it rests.
    pub(super) fn order(&self) -> Option<Stage> {
        let mut state = self.lock();
        if let Stage::Running { begin } = state.stage
            && !state.is_needed_from(begin)
        {
            state.stage = Stage::Idle;
        }
        let goes_on = !state.is_paused && state.is_needed();
        let is_ending = matches!(state.stage, Stage::Ending { .. });
        (goes_on || is_ending).then_some(state.stage)
    }

    /// Its begin gets this LSN now.
    pub(super) fn begun(&self, begin: Lsn) {
        let mut state = self.lock();
        state.stage = Stage::Running { begin };
        state.covered = 0;
    }

    pub(super) fn count(&self, bytes: u64) {
        self.lock().covered += bytes;
    }

    /// Its end gets this LSN now.
    pub(super) fn ending(&self, end: Lsn) {
        let mut state = self.lock();
        if let Stage::Running { begin } = state.stage {
            state.stage = Stage::Ending { begin, end };
        }
    }

    /// Its end can't stand where it came up: another one has to.
    pub(super) fn end_refused(&self) {
        let mut state = self.lock();
        if let Stage::Ending { begin, .. } = state.stage {
            state.stage = Stage::Running { begin };
        }
    }

    /// Everything up to here is in sealed files. Says whether it has come to its end by that.
    pub(super) fn sealed(&self, last: Lsn) -> bool {
        let mut state = self.lock();
        match state.stage {
            Stage::Ending { begin, end } if end <= last => {
                state.stage = Stage::Idle;
                state.ended = begin;
                true
            }
            _ => false,
        }
    }

    /// Something of it is lost: it has to begin anew.
    pub(super) fn spoil(&self) {
        self.lock().stage = Stage::Idle;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether somebody lacks one that has ended.
    fn is_needed(&self) -> bool {
        self.wanted.values().any(|from| self.ended < *from)
    }

    /// Whether somebody lacks one that one from `begin` on would be.
    fn is_needed_from(&self, begin: Lsn) -> bool {
        let mut wanted = self.wanted.values();
        wanted.any(|from| self.ended < *from && *from <= begin)
    }
}

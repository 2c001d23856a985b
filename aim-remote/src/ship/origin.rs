//! Who makes baselines, and who is asked what mirrors hold.

use std::fmt::Debug;
use std::sync::Arc;

use aim_core::capture::{Baselines, Capture, Comparison};
use aim_core::cursor::{RelayCursor, Standing, TARGETS_MAX};
use aim_core::units::Lsn;

use super::retention::Retention;
use super::targets::{State, TargetKind};
use crate::relay::Relay;

/// What stands before a spool in the series: a capture, or for a mirror that passes on what it
/// receives whoever ships to it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Where questions to mirrors come from. None come down to those behind a relay.
    pub(super) comparison: Option<Arc<Comparison>>,
    pub(super) baselines: Arc<dyn WantBaseline>,
}

/// Where a baseline is asked for.
pub(super) trait WantBaseline: Debug + Send + Sync {
    /// Wants one that begins at `from` or behind it, on behalf of `who`.
    fn want(&self, who: u32, from: Lsn);

    /// Does not need one any more.
    fn unwant(&self, who: u32);

    /// Lets it rest, so that those who need it catch up, or go on.
    fn pause(&self, rests: bool);

    /// Where the last one began that is in the spool to its end, or was; 0: none is known of.
    fn ended(&self) -> Lsn;
}

impl Origin {
    pub(super) fn capture(capture: &Capture) -> Self {
        Self {
            comparison: Some(capture.comparison()),
            baselines: capture.baselines(),
        }
    }

    pub(super) fn relay(relay: &Arc<Relay>) -> Self {
        Self {
            comparison: None,
            baselines: Arc::clone(relay) as Arc<dyn WantBaseline>,
        }
    }
}

impl Retention {
    /// Takes up what the origin has to know from the start.
    pub(super) fn tell_origin(&self) {
        let state = self.lock();
        for (index, entry) in state.targets.iter().enumerate() {
            let record = &entry.record;
            self.tell_of(&state, index, record.standing);
            // a capture makes it when the target is reached; further away it may take longer
            if let (Standing::Joins, Some(relay)) = (record.standing, &self.relay) {
                relay.want(index as u32, record.from_lsn);
            }
        }
    }

    /// Has the capture ask the target, or wait for it, or neither.
    pub(super) fn tell_of(&self, state: &State, index: usize, standing: Standing) {
        let Some(Origin {
            comparison,
            baselines,
        }) = &self.origin
        else {
            return;
        };
        let who = index as u32;
        if let Some(comparison) = comparison {
            match (standing, state.targets[index].kind) {
                (Standing::Follows, TargetKind::Mirror) => comparison.admit(who),
                _ => comparison.dismiss(who),
            }
            let mut all = state.targets.iter().enumerate();
            // first this: what is begun for its sake must find nothing compared
            comparison.suspend(all.any(|(at, entry)| {
                let standing = match at == index {
                    true => standing,
                    false => entry.record.standing,
                };
                match entry.kind {
                    TargetKind::Mirror => standing == Standing::Joins,
                    TargetKind::Store => matches!(standing, Standing::Joins | Standing::Follows),
                }
            }));
        }
        if standing != Standing::Joins {
            baselines.unwant(who);
        }
    }

    /// Asks for the baselines that those behind a target need. They hold what the target does, so nobody but
    /// they needs to have anything compared less.
    pub(super) fn ask_for_those_behind(
        &self,
        state: &mut State,
        index: usize,
        behind: Option<RelayCursor>,
    ) {
        let before = std::mem::replace(&mut state.targets[index].behind, behind);
        let wanted = |behind: Option<RelayCursor>| {
            behind
                .map(|behind| behind.wanted)
                .filter(|from| *from > Lsn(0))
        };
        let (Some(origin), who) = (&self.origin, (TARGETS_MAX + index) as u32) else {
            return;
        };
        match (wanted(before), wanted(behind)) {
            (before, Some(from)) => {
                if before != Some(from) {
                    let target = &state.targets[index].record.name;
                    tracing::warn!(target, "a mirror behind it needs a baseline");
                }
                origin.baselines.want(who, from);
            }
            (Some(_), None) => origin.baselines.unwant(who),
            (None, None) => {}
        }
    }
}

impl WantBaseline for Baselines {
    fn want(&self, who: u32, from: Lsn) {
        self.want(who, from);
    }

    fn unwant(&self, who: u32) {
        self.unwant(who);
    }

    fn pause(&self, rests: bool) {
        self.pause(rests);
    }

    fn ended(&self) -> Lsn {
        self.status().ended
    }
}

impl WantBaseline for Relay {
    fn want(&self, who: u32, from: Lsn) {
        self.want(who, from);
    }

    fn unwant(&self, who: u32) {
        self.unwant(who);
    }

    fn pause(&self, rests: bool) {
        self.pause(rests);
    }

    fn ended(&self) -> Lsn {
        self.ended()
    }
}

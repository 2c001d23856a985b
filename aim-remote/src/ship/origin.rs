//! Who makes baselines, and who is asked what mirrors hold.

use std::fmt::Debug;
use std::sync::Arc;

use aim_core::capture::{Baselines, Capture, Comparison};
use aim_core::units::Lsn;

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

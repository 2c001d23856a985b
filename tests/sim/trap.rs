//! A failpoint at which the host that comes to it ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use aim_core::failpoint::{Failpoint, Watch, watch};
use aim_tests::Power;

use crate::stop::Stop;

/// Where a host is to end, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrapAt {
    pub(crate) point: Failpoint,
    /// The how manieth time, from 1.
    pub(crate) time: u64,
    pub(crate) stop: Stop,
}

/// Who is doing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Source,
    Mirror,
}

/// Watches the failpoints that a run comes by.
#[derive(Debug)]
pub(crate) struct Trap {
    state: Rc<RefCell<State>>,
    _watch: Watch,
}

#[derive(Debug)]
struct State {
    at: Option<TrapAt>,
    doing: Doing,
    has_sprung: bool,
    hits: BTreeMap<Failpoint, u64>,
}

impl Trap {
    /// Watches from here on; without a place nothing ends.
    pub(crate) fn set(at: Option<TrapAt>, source: &Arc<Power>, mirror: &Arc<Power>) -> Self {
        let state = Rc::new(RefCell::new(State {
            at,
            doing: Doing::Source,
            has_sprung: false,
            hits: BTreeMap::new(),
        }));
        let (watched, source, mirror) = (state.clone(), source.clone(), mirror.clone());
        let watch = watch(move |point| {
            let mut state = watched.borrow_mut();
            let hits = state.hits.entry(point).or_default();
            *hits += 1;
            let time = *hits;
            if state
                .at
                .is_none_or(|at| (at.point, at.time) != (point, time))
            {
                return Ok(());
            }
            state.has_sprung = true;
            match state.doing {
                Doing::Source => source.cut(),
                Doing::Mirror => mirror.cut(),
            }
            Err(io::Error::other("the simulator stops here"))
        });
        Self {
            state,
            _watch: watch,
        }
    }

    /// Who is the next to come by failpoints.
    pub(crate) fn now(&self, doing: Doing) {
        self.state.borrow_mut().doing = doing;
    }

    /// What a host that has no power has come to, if this was it.
    pub(crate) fn stop(&self) -> Option<Stop> {
        let state = self.state.borrow();
        state.at.filter(|_| state.has_sprung).map(|at| at.stop)
    }

    pub(crate) fn has_sprung(&self) -> bool {
        self.state.borrow().has_sprung
    }

    /// How often each failpoint was come by.
    pub(crate) fn hits(&self) -> BTreeMap<Failpoint, u64> {
        self.state.borrow().hits.clone()
    }
}

//! The worker that keeps the extent map ahead of the disk.

use std::sync::Arc;
use std::time::Duration;

use super::caretaker::Caretaker;
use super::extents::{Changes, MapFile, MapState};
use super::gate::Mode;
use super::shared::Shared;
use super::status::with_causes;
use crate::failpoint::{Failpoint, reach};
use crate::units::Timestamp;

/// How long it rests where nobody calls it.
const REST: Duration = Duration::from_secs(1);
/// How long to wait before a map that can't be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Stores what changes in the extents, for all who wait together in one write.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    map: MapFile,
    state: MapState,
    /// When to try again, while the map can't be written.
    retry_at: Option<Timestamp>,
}

impl Keeper {
    /// Goes on with a map that holds everything already.
    pub(super) fn new(shared: Arc<Shared>, map: MapFile, state: MapState) -> Self {
        Self {
            shared,
            map,
            state,
            retry_at: None,
        }
    }

    /// Runs until the capture is stopped.
    pub(super) fn run(mut self) -> Self {
        while !self.shared.is_stopping() {
            if !self.step() {
                self.shared.keeper_bell.rest(REST);
            }
        }
        self
    }

    /// Stores what has changed. Says whether there was something.
    pub(super) fn step(&mut self) -> bool {
        let now = self.shared.now();
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let state = match self.shared.gate.lock().mode() {
            Mode::Capture => MapState::Capturing,
            Mode::Track => MapState::Tracking,
        };
        if self.shared.gate.changes() == Changes::None && state == self.state {
            return false;
        }
        self.store(state);
        true
    }

    fn store(&mut self, state: MapState) {
        let gate = &self.shared.gate;
        let sectors = gate.lock().extents.take_changes();
        match self
            .map
            .store(&sectors, state, || gate.lock().extents.all())
        {
            Ok(()) => {
                gate.lock().extents.set_stored(&sectors);
                self.state = state;
                if self.retry_at.take().is_some() {
                    tracing::info!("the extent map can be written again");
                    self.shared.progress().map_trouble = None;
                    gate.set_map_works(true);
                }
                gate.wake_waiting();
            }
            Err(error) => {
                gate.lock().extents.put_back(&sectors);
                let reason = with_causes(&error);
                if self.retry_at.is_none() {
                    tracing::error!(
                        reason,
                        "the extent map can't be written: a power cut would lose what has changed"
                    );
                }
                self.retry_at = Some(self.shared.later(RETRY));
                self.shared.progress().map_trouble = Some(reason);
                gate.set_map_works(false);
            }
        }
    }

    /// Says in the map that the capture has ended cleanly: everything is on disk and in the
    /// journal, but for what is noted as needed. After any error it stays as after a power cut.
    pub(super) fn close(mut self, caretaker: &Caretaker) {
        let tracks = self.shared.gate.lock().mode() == Mode::Track;
        let is_durable = !tracks && caretaker.sync_disks() && reach(Failpoint::StopSynced).is_ok();
        if !is_durable {
            // hot stays hot: the next start copies it
            self.store(match tracks {
                true => MapState::Tracking,
                false => MapState::Capturing,
            });
            return;
        }
        {
            let mut state = self.shared.gate.lock();
            let generation = state.extents.next_generation();
            state.extents.cool(generation);
        }
        self.store(MapState::Clean);
    }
}

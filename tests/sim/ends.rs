//! How hosts begin and end, and what must be there afterwards.

use aim_core::capture::{CaptureState, CaptureStatus};
use aim_core::units::Lsn;

use crate::failure::{Failure, Promise};
use crate::stop::Stop;
use crate::traffic::text;
use crate::trap::Doing;
use crate::world::World;

/// How many steps of the doubles a stop that was decided on may be away.
const STEPS_TO_STOP: u64 = 60;

impl World {
    /// The last LSN of the series, also where the capture has not taken it up yet.
    pub(crate) fn last_given(&self) -> Lsn {
        let status = self.source.status();
        let captured = status.map_or(Lsn(0), |status| status.captured);
        captured.max(self.journal_end)
    }

    pub(crate) fn start_what_is_down(&mut self) -> Result<(), Failure> {
        if !self.source.is_up() && self.rng.chance(4) {
            self.start_source()?;
        }
        if !self.mirror.is_up() && self.rng.chance(4) {
            self.start_mirror();
        }
        Ok(())
    }

    pub(crate) fn start_source(&mut self) -> Result<(), Failure> {
        self.trap.now(Doing::Source);
        // one step that fails may keep it from starting once
        let started = self.source.start().or_else(|_| self.source.start());
        match started {
            Err(error) => {
                self.log
                    .note(&format!("the source does not start: {error}"));
                let is_excused = error.contains("injected") || !self.source.power.is_on();
                if !is_excused {
                    let what = format!("the source does not start: {error}");
                    return Err(Failure::new(Promise::P4, what));
                }
            }
            Ok(()) => {
                let status = self.source.status().expect("started");
                self.log.note(&format!(
                    "the source has started at LSN {}, {:?}",
                    status.captured, status.state
                ));
                if !self.source.power.is_on() {
                    return Ok(());
                }
                self.journal_end = self.source.journalled()?;
                return self.check_successor(&status);
            }
        }
        Ok(())
    }

    /// What was acknowledged before a process was killed is in the journal of its successor, or
    /// will be copied because the journal can't take it.
    pub(crate) fn check_successor(&mut self, status: &CaptureStatus) -> Result<(), Failure> {
        let Some(owed) = self.owed.take() else {
            return Ok(());
        };
        let last = status.captured;
        if last >= owed {
            return Ok(());
        }
        if !matches!(status.state, CaptureState::Passthrough { .. }) {
            let what = format!("LSN {owed} was given, and the successor captures behind {last}");
            return Err(Failure::new(Promise::P1, what));
        }
        // what it could not take up is still there
        let last = last.max(self.journal_end);
        let found = self.source.disks.stamps();
        self.promised = self.promised.min(last);
        self.model.forget_behind(last);
        self.model.found(last.next(), 0, &found);
        Ok(())
    }

    pub(crate) fn start_mirror(&mut self) {
        self.trap.now(Doing::Mirror);
        match self.mirror.start() {
            Err(error) => self
                .log
                .note(&format!("the mirror does not start: {error}")),
            Ok(()) => self.log.note("the mirror has started"),
        }
    }

    /// Stops the source now or at one of its next steps.
    pub(crate) fn stop_source(&mut self, stop: Stop) -> Result<(), Failure> {
        if self.rng.chance(3) {
            let status = self.source.status();
            return self.source_stopped(stop, status.as_ref());
        }
        if self.source.stop.is_none() {
            let after = 1 + self.rng.below(STEPS_TO_STOP);
            let power = &self.source.power;
            power.cut_at(power.steps() + after);
            self.source.stop = Some(stop);
        }
        Ok(())
    }

    pub(crate) fn stop_mirror(&mut self, stop: Stop) {
        if self.rng.chance(3) {
            return self.mirror_stopped(stop);
        }
        if self.mirror.stop.is_none() {
            let after = 1 + self.rng.below(STEPS_TO_STOP);
            let power = &self.mirror.power;
            power.cut_at(power.steps() + after);
            self.mirror.stop = Some(stop);
        }
    }

    /// The source's daemon is gone, after it stood at `status`.
    pub(crate) fn source_stopped(
        &mut self,
        stop: Stop,
        status: Option<&CaptureStatus>,
    ) -> Result<(), Failure> {
        self.source.stop = None;
        self.note_if_told();
        let (disks, model, rng) = (&self.source.disks, &mut self.model, &mut self.rng);
        match stop {
            Stop::Process => {
                let last = status.map_or(Lsn(0), |status| status.captured);
                let last = last.max(self.journal_end);
                self.front_end.killed(disks, model, last, rng);
                self.source.kill();
                self.log.note("the source's process was killed");
                status.map_or(Ok(()), |status| self.ended_as(status))
            }
            Stop::Power => {
                self.front_end.lost_power(disks, model, rng);
                self.source.lose_power(&mut self.rng);
                self.owed = None;
                self.log.note("the source has lost its power");
                self.check_after_power_cut()
            }
        }
    }

    /// The daemon has ended, and the machine goes on. What a capture had given LSNs to is in the
    /// journal or in the ring; while it was tracking the journal ends earlier, and what comes
    /// behind will be copied.
    pub(crate) fn ended_as(&mut self, status: &CaptureStatus) -> Result<(), Failure> {
        if !matches!(status.state, CaptureState::Passthrough { .. }) {
            self.owed = Some(status.captured);
            return Ok(());
        }
        self.owed = None;
        let last = self.source.journalled()?;
        let found = self.source.disks.stamps();
        self.model.forget_behind(last);
        self.model.found(last.next(), 0, &found);
        Ok(())
    }

    pub(crate) fn check_after_power_cut(&mut self) -> Result<(), Failure> {
        let found = self.source.disks.stamps();
        let lost = self.model.power_cut(&found);
        if let Some(difference) = lost {
            let what = format!("after the power cut the source's {difference}");
            return Err(Failure::new(Promise::P1, what));
        }
        let last = self.source.journalled()?;
        if last < self.promised {
            let what = format!(
                "LSN {} was acknowledged as durable, the journal ends at {last}",
                self.promised
            );
            return Err(Failure::new(Promise::P1, what));
        }
        self.model.forget_behind(last);
        self.model.found(last.next(), 0, &found);
        Ok(())
    }

    /// The mirror has come to the end that was decided on.
    pub(crate) fn mirror_lost(&mut self) {
        let stop = self.mirror.stop.or_else(|| self.trap.stop());
        self.mirror_stopped(stop.unwrap_or(Stop::Power));
    }

    pub(crate) fn mirror_stopped(&mut self, stop: Stop) {
        self.mirror.stop = None;
        match stop {
            Stop::Process => {
                self.mirror.kill();
                self.log.note("the mirror's process was killed");
            }
            Stop::Power => {
                self.mirror.lose_power(&mut self.rng);
                self.log.note("the mirror has lost its power");
            }
        }
    }

    pub(crate) fn restart_source(&mut self) -> Result<(), Failure> {
        self.insist()?;
        if self.front_end.in_flight() > 0 || !self.source.power.is_on() {
            return Ok(());
        }
        self.front_end.stopped();
        self.trap.now(Doing::Source);
        self.note_if_told();
        let Some((ended, status)) = self.source.stop_cleanly() else {
            return Ok(());
        };
        self.note_failed_syncs();
        let ended = text(&ended);
        self.log
            .note(&format!("the source's daemon is restarted: {ended}"));
        if !self.source.power.is_on() {
            let stop = self
                .source
                .stop
                .or_else(|| self.trap.stop())
                .unwrap_or(Stop::Power);
            return self.source_stopped(stop, Some(&status));
        }
        self.ended_as(&status)
    }

    /// While the extent map can't be written its owner is told that an unclean stop may make
    /// source and mirror differ: nothing is promised after one.
    pub(crate) fn note_if_told(&mut self) {
        let status = self.source.status();
        self.is_told |= status.is_some_and(|status| status.map_trouble.is_some());
    }
}

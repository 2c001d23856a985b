//! The end of a run: nothing fails any more, everything comes to rest, both sides are equal.

use std::time::Duration;

use aim_core::capture::{CaptureState, Wanted, Worker};
use aim_core::replay::DeviceRange;
use aim_core::units::Lsn;

use crate::failure::{Failure, Promise};
use crate::sector::{self, DAMAGED};
use crate::stop::Stop;
use crate::world::World;

/// Rounds in which everything has to come to rest.
const ROUNDS_TO_REST: u32 = 600;

/// How often an operator asks until something is done.
const ASKED_MOST: u32 = 6;

impl World {
    /// Mends everything. Then both sides become equal, and stay so when both lose their power.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.log.begin_step();
        self.log.note("nothing fails any more");
        self.source.mend();
        self.mirror.mend();
        self.line.mend();
        self.come_to_rest()?;
        if !self.is_told && self.mirror.disks.stamps().contains(&DAMAGED) {
            self.mend_decay()?;
        }
        if self.is_told {
            return self.leave_to_operator();
        }
        self.check_equal()?;
        self.log.note("both hosts lose their power once more");
        let status = self.source.status();
        self.source_stopped(Stop::Power, status.as_ref())?;
        self.mirror_stopped(Stop::Power);
        self.come_to_rest()?;
        self.check_equal()?;
        self.log.mix(self.source.power.labels().concat().as_bytes());
        self.log.mix(self.mirror.power.labels().concat().as_bytes());
        Ok(())
    }

    pub(crate) fn leave_to_operator(&mut self) -> Result<(), Failure> {
        self.log
            .note("the operator was told that nothing is promised any more");
        Ok(())
    }

    /// Lets everything go on until there is nothing left to do.
    fn come_to_rest(&mut self) -> Result<(), Failure> {
        for round in 0..ROUNDS_TO_REST {
            self.log.begin_step();
            // some waits are long, as that for an answer which never comes
            let time = match round {
                0..100 => Duration::from_millis(300),
                _ => Duration::from_secs(10),
            };
            self.clock.pass(time);
            if self.go_round()? || self.is_told {
                return Ok(());
            }
        }
        let what = format!("there is no rest: {}", self.standing());
        Err(Failure::new(Promise::P3, what))
    }

    /// Says whether there was nothing left to do.
    fn go_round(&mut self) -> Result<bool, Failure> {
        if !self.source.is_up() {
            self.start_source()?;
        }
        if !self.mirror.is_up() {
            self.start_mirror();
        }
        for slot in 0..self.front_end.slots() {
            while self.step_slot(slot) {}
        }
        let mut worked = false;
        for worker in Worker::ALL {
            worked |= self.work(worker);
        }
        self.ship();
        self.receive();
        while self.apply() {}
        self.observe()?;
        Ok(!worked && self.is_at_rest())
    }

    fn is_at_rest(&self) -> bool {
        let (Some(source), Some(mirror)) = (self.source.status(), self.mirror.status()) else {
            return false;
        };
        self.front_end.in_flight() == 0
            && self.source.trouble.is_none()
            && self.mirror.trouble.is_none()
            && self.source.is_followed()
            && source.state == CaptureState::Capturing
            && source.resync.is_none()
            && !source.verify.is_running
            && source.sealed.lsn == source.captured
            && mirror.applied == source.sealed
            && (self.source.outgoing().list()).is_ok_and(|files| files.is_empty())
    }

    fn standing(&self) -> String {
        format!(
            "{} requests in flight; source {:?}, {}, in open/ {:?}, {:?}; mirror {:?}, {:?}",
            self.front_end.in_flight(),
            self.source.status(),
            self.source.target(),
            self.source.open_files(),
            self.source.trouble,
            self.mirror.cursor(),
            self.mirror.trouble,
        )
    }

    /// A verification finds whatever has decayed, and a resync mends it. Neither outlives the
    /// process that was asked for it, so whoever asks looks whether it was done.
    fn mend_decay(&mut self) -> Result<(), Failure> {
        for _ in 0..ASKED_MOST {
            let is_done = self.verify_all()?;
            let Some(status) = self.mirror.status().filter(|_| !self.is_told) else {
                return Ok(());
            };
            if !is_done {
                continue;
            }
            let ranges: Vec<_> = status.differences.ranges().collect();
            self.check_known(&ranges)?;
            if ranges.is_empty() {
                return Ok(());
            }
            let wanted = ranges.iter().map(|range| Wanted::Range {
                device: range.device,
                offset: range.offset,
                len: range.len,
            });
            let wanted: Vec<Wanted> = wanted.collect();
            self.log.note(&format!("to be mended: {wanted:?}"));
            if let Some(capture) = self.source.capture() {
                capture.request_resync(&wanted);
            }
            self.come_to_rest()?;
        }
        let what = format!("what has decayed is not mended: {}", self.standing());
        Err(Failure::new(Promise::P3, what))
    }

    /// Has everything verified; says whether that came to its end.
    fn verify_all(&mut self) -> Result<bool, Failure> {
        let passes = |world: &Self| {
            world
                .source
                .status()
                .map_or(0, |status| status.verify.passes)
        };
        let skipped = |world: &Self| {
            let status = world.mirror.status();
            status.map_or(0, |status| status.differences.skipped_bytes())
        };
        let before = (passes(self), skipped(self));
        self.request_verify();
        self.come_to_rest()?;
        // a mirror that had to apply something again could not compare
        Ok(passes(self) > before.0 && skipped(self) == before.1)
    }

    /// No damage may be outside of what is known to differ.
    fn check_known(&self, ranges: &[DeviceRange]) -> Result<(), Failure> {
        let is_known = |place| {
            let (device, offset) = self.mirror.disks.locate(place);
            let (offset, mut ranges) = (offset.get(), ranges.iter());
            ranges.any(|range| {
                let (start, end) = (range.offset.get(), range.offset.get() + range.len.get());
                range.device == device && (start..end).contains(&offset)
            })
        };
        let found = self.mirror.disks.stamps();
        let silent = (0..found.len()).find(|&place| found[place] == DAMAGED && !is_known(place));
        match silent {
            None => Ok(()),
            Some(place) => {
                let what = format!("a verification has not found that sector {place} decayed");
                Err(Failure::new(Promise::P3, what))
            }
        }
    }

    /// The disks hold what the series says, and the mirror's what the source's do.
    fn check_equal(&mut self) -> Result<(), Failure> {
        if self.is_told {
            return Ok(());
        }
        let present = self.source.disks.stamps();
        let forever = Lsn(u64::MAX);
        if let Some(difference) = self.model.differs_at(forever, &present, |_| false) {
            let what = format!("at rest the source's {difference}");
            return Err(Failure::new(Promise::P2, what));
        }
        // what is applied outlives the power
        let mirrored = self.mirror.disks.durable_stamps();
        let differing = (0..present.len()).find(|&place| present[place] != mirrored[place]);
        match differing {
            None => Ok(()),
            Some(place) => {
                let (here, there) = (sector::name(present[place]), sector::name(mirrored[place]));
                let what = format!(
                    "at rest sector {place} holds {here} on the source and {there} on the mirror"
                );
                Err(Failure::new(Promise::P3, what))
            }
        }
    }
}

//! What goes on when nothing is wrong: requests, workers, both coordinators.

use std::time::Duration;

use aim_core::capture::{CaptureState, OnFull, Wanted, Worker};
use aim_core::intercept::Outcome;
use aim_core::request::{Operation, Request};
use aim_core::units::ByteLen;

use crate::broken::Broken;
use crate::failure::{Failure, Promise};
use crate::front_end::{Acknowledged, Host, Went};
use crate::sector;
use crate::trap::Doing;
use crate::world::World;

/// Rounds of the front end and the workers in which each request comes to its end.
const ROUNDS_TO_END: u32 = 200;

impl World {
    pub(crate) fn submit(&mut self) {
        let request = self.random_request();
        let submitted = self
            .front_end
            .submit(request, &self.source.disks, &self.model);
        if let Some(serial) = submitted {
            let Request {
                device,
                operation,
                offset,
                len,
                fua,
            } = request;
            let first = self.source.disks.place(device, offset);
            let count = len.get() / sector::BYTES as u64;
            let fua = if fua { " FUA" } else { "" };
            self.log.note(&format!(
                "request {serial}: {operation:?}{fua} of {count} sectors at {first}"
            ));
        }
    }

    pub(crate) fn random_request(&mut self) -> Request {
        let rng = &mut self.rng;
        let devices = self.plan.volume.devices.len() as u64;
        let device = rng.below(devices) as u16;
        let places = self.source.disks.places(device);
        let sectors = places.len() as u64;
        // half of all requests meet in a few sectors
        let first = match rng.chance(2) {
            true => rng.below(sectors.min(16)),
            false => rng.below(sectors),
        };
        let most = (self.plan.setup.request_bytes_max / sector::BYTES) as u64;
        let count = 1 + rng.below(most.min(sectors - first));
        let offset = self.source.disks.offset(places.start + first as usize);
        let len = ByteLen(count * sector::BYTES as u64);
        let changes = |operation, fua| Request {
            device,
            operation,
            offset,
            len,
            fua,
        };
        match rng.below(20) {
            0..=2 => Request {
                device,
                ..Request::flush()
            },
            3..=4 => {
                let unmap = rng.chance(2);
                changes(Operation::WriteZeroes { unmap }, rng.chance(8))
            }
            5 => changes(Operation::Discard, false),
            _ => changes(Operation::Write, rng.chance(8)),
        }
    }

    /// Takes the request of a slot one step further; says whether there was one that could go.
    pub(crate) fn step_slot(&mut self, slot: usize) -> bool {
        let last = self.last_given();
        let Some(capture) = self.source.capture() else {
            return false;
        };
        let mut host = Host {
            interceptor: capture,
            disks: &self.source.disks,
            model: &mut self.model,
            completes_early: self.broken == Some(Broken::RangeLock),
            last,
        };
        let Some((serial, went)) = self.front_end.step(slot, &mut host) else {
            return false;
        };
        match went {
            Went::Waits => return false,
            Went::On(what) => self.log.note(&format!("request {serial} {what}")),
            Went::Acknowledged(acknowledged) => self.acknowledged(acknowledged),
        }
        true
    }

    pub(crate) fn acknowledged(&mut self, acknowledged: Acknowledged) {
        let Acknowledged {
            serial,
            lsn,
            outcome,
            durable,
        } = acknowledged;
        let lsn_text = lsn.map_or_else(|| "not captured".to_owned(), |lsn| format!("LSN {lsn}"));
        let how = match (outcome, durable) {
            (Outcome::Failed, _) => "failed",
            (Outcome::Done, true) => "done, durable",
            (Outcome::Done, false) => "done",
        };
        self.log
            .note(&format!("request {serial} acknowledged: {how}, {lsn_text}"));
        let captures = (self.source.status())
            .is_some_and(|status| !matches!(status.state, CaptureState::Passthrough { .. }));
        // what a machine that has just lost its power says is not heard
        if let Some(lsn) = lsn
            && durable
            && captures
            && self.source.power.is_on()
        {
            self.promised = self.promised.max(lsn);
        }
    }

    pub(crate) fn work(&mut self, worker: Worker) -> bool {
        self.trap.now(Doing::Source);
        let worked = self.source.work(worker);
        self.note_failed_syncs();
        if worked {
            self.log.note(&format!("{worker:?} worked"));
        }
        worked
    }

    /// A disk whose sync failed may have dropped what it was to write.
    pub(crate) fn note_failed_syncs(&mut self) {
        for places in self.source.disks.take_failed_syncs() {
            self.log
                .note("a sync of the source's disk failed, of which only the capture knows");
            self.model.sync_failed(places);
        }
    }

    pub(crate) fn let_time_pass(&mut self) {
        let nanos = 1 << self.rng.below(32);
        match self.rng.chance(16) {
            true => self.clock.step_back(Duration::from_nanos(nanos)),
            false => self.clock.pass(Duration::from_nanos(nanos)),
        }
    }

    pub(crate) fn ship(&mut self) {
        if !self.has_seen_all() {
            return;
        }
        let hasty = self.rng.chance(2);
        self.trap.now(Doing::Source);
        if let Some(ended) = self.source.ship(hasty) {
            self.log.note(&format!("shipped: {}", text(&ended)));
        }
    }

    /// Whether the archive holds every file that may go now: its own look may have failed.
    fn has_seen_all(&mut self) -> bool {
        let outgoing = self.source.outgoing();
        // what is wrong is said when this step is over
        let ends = self.archive.look(&*outgoing).unwrap_or_default();
        ends.into_iter().for_each(|end| self.model.healed(end));
        self.archive.has_all(&*outgoing)
    }

    /// Files that the mirror lacks may be removed: then it needs a baseline.
    pub(crate) fn leave_mirror(&mut self) {
        if !self.has_seen_all() {
            return;
        }
        self.trap.now(Doing::Source);
        if let Some(ended) = self.source.leave_mirror() {
            self.was_left |= ended == Ok(true);
            self.log.note(&format!("left the mirror: {}", text(&ended)));
        }
    }

    pub(crate) fn receive(&mut self) {
        self.trap.now(Doing::Mirror);
        if let Some(ended) = self.mirror.receive() {
            self.log.note(&format!("received: {}", text(&ended)));
        }
    }

    pub(crate) fn apply(&mut self) -> bool {
        self.trap.now(Doing::Mirror);
        let careless = self.broken == Some(Broken::GroupEarly);
        let ended = match careless {
            true => self.mirror.apply_carelessly(),
            false => self.mirror.apply(),
        };
        if let Some(ended) = &ended {
            self.log.note(&format!("applied: {}", text(ended)));
        }
        ended == Some(Ok(true))
    }

    pub(crate) fn request_resync(&mut self) {
        let place = self.rng.below(self.source.disks.sectors() as u64) as usize;
        let wanted = match self.rng.chance(4) {
            true => Wanted::All,
            false => {
                let (device, offset) = self.source.disks.locate(place);
                let len = ByteLen(sector::BYTES as u64);
                Wanted::Range {
                    device,
                    offset,
                    len,
                }
            }
        };
        if let Some(capture) = self.source.capture() {
            capture.request_resync(&[wanted]);
            self.log.note(&format!("a resync is asked for: {wanted:?}"));
        }
    }

    /// Whatever is wrong with journal, line and mirror, requests come to their end.
    pub(crate) fn request_verify(&mut self) {
        if let Some(capture) = self.source.capture() {
            capture.request_verify();
            self.log.note("verification is asked for");
        }
    }

    /// Whatever is wrong with journal, line and mirror, requests come to their end: P4. Only an
    /// operator who wants them to wait for a full journal has them wait.
    pub(crate) fn insist(&mut self) -> Result<(), Failure> {
        for _ in 0..ROUNDS_TO_END {
            for slot in 0..self.front_end.slots() {
                self.step_slot(slot);
            }
            for worker in Worker::ALL {
                self.work(worker);
            }
            self.clock.pass(Duration::from_millis(100));
            let is_up = self.source.is_up() && self.source.power.is_on();
            if self.front_end.in_flight() == 0 || !is_up {
                return Ok(());
            }
        }
        if self.plan.setup.on_full == OnFull::Block {
            return Ok(());
        }
        let (count, status) = (self.front_end.in_flight(), self.source.status());
        let what = format!("{count} requests don't come to their end: {status:?}");
        Err(Failure::new(Promise::P4, what))
    }
}

/// How something ended, for the log.
pub(crate) fn text<T: std::fmt::Debug>(ended: &Result<T, String>) -> String {
    match ended {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.clone(),
    }
}

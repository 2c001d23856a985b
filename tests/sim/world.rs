//! Both hosts and what happens to them, all of it drawn from one seed.

use std::time::Duration;

use aim_core::capture::{CaptureState, CaptureStatus, Wanted, Worker};
use aim_core::intercept::Outcome;
use aim_core::request::{Operation, Request};
use aim_core::units::{ByteLen, Lsn};
use aim_tests::{Power, Rng};

use crate::archive::Archive;
use crate::broken::Broken;
use crate::clock::SimClock;
use crate::failure::{Failure, Promise};
use crate::front_end::{Acknowledged, FrontEnd, Host, Went};
use crate::line::Line;
use crate::log::Log;
use crate::mirror::Mirror;
use crate::model::Model;
use crate::plan::{Event, Plan};
use crate::sector;
use crate::source::Source;
use crate::stop::Stop;
use crate::tamper;

/// Rounds in which everything has to come to rest once nothing fails any more.
const ROUNDS_TO_REST: u32 = 300;

/// How many steps of the doubles a stop that was decided on may be away.
const STEPS_TO_STOP: u64 = 60;

/// Both hosts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) log: Log,
    pub(crate) clock: SimClock,
    pub(crate) source: Source,
    pub(crate) front_end: FrontEnd,
    pub(crate) line: Line,
    pub(crate) mirror: Mirror,
    pub(crate) model: Model,
    pub(crate) archive: Archive,
    broken: Option<Broken>,
    /// Where the journal ended at the last start.
    journal_end: Lsn,
    /// Up to here the journal was acknowledged as durable.
    promised: Lsn,
    /// What a successor of the killed process must have.
    owed: Option<Lsn>,
    /// The operator was told to copy everything.
    is_told: bool,
}

impl World {
    /// Sets everything up; nothing is started.
    pub(crate) fn new(seed: u64, broken: Option<Broken>, prints: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng, |event| {
            broken.is_none_or(|broken| broken.allows(event))
        });
        let clock = SimClock::new();
        let mirror = Mirror::new(&plan.volume, &mut rng);
        let breaks = plan.line_breaks_one_in;
        let line = Line::new(&mirror.files, &mirror.power, breaks, rng.next_u64());
        let (volume, setup) = (&plan.volume, plan.setup);
        let source = Source::new(volume, setup, clock.clone(), line.clone(), &mut rng);
        let mut log = Log::new(prints);
        log.note(&format!("{:?}, {} steps", plan.setup, plan.steps));
        if let Some(broken) = broken {
            broken.apply(&source, &mirror);
        }
        Self {
            model: Model::new(source.disks.sectors()),
            front_end: FrontEnd::new(setup.slots, setup.request_bytes_max),
            archive: Archive::default(),
            journal_end: Lsn(0),
            promised: Lsn(0),
            owed: None,
            is_told: false,
            rng,
            plan,
            log,
            clock,
            source,
            line,
            mirror,
            broken,
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        self.start_source()?;
        self.start_mirror()?;
        for _ in 0..self.plan.steps {
            self.log.begin_step();
            self.start_what_is_down()?;
            let event = self.plan.next(&mut self.rng);
            self.act(event)?;
            self.observe()?;
            if self.is_told {
                return self.leave_to_operator();
            }
        }
        self.finish()
    }

    fn act(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Submit => self.submit(),
            Event::Step => {
                let slot = self.rng.below(self.front_end.slots() as u64) as usize;
                self.step_slot(slot);
            }
            Event::Work(worker) => drop(self.work(worker)),
            Event::Time => self.let_time_pass(),
            Event::Ship => self.ship(),
            Event::Receive => self.receive(),
            Event::Apply => drop(self.apply()),
            Event::Insist => return self.insist(),
            Event::RestartSource => return self.restart_source(),
            Event::RestartMirror => {
                self.log.note("the mirror's daemon is restarted");
                self.mirror.stop_cleanly();
            }
            Event::CutSource => return self.stop_source(Stop::Power),
            Event::KillSource => return self.stop_source(Stop::Process),
            Event::CutMirror => self.stop_mirror(Stop::Power),
            Event::KillMirror => self.stop_mirror(Stop::Process),
            Event::FailSourceDisk => self.fail_soon("the source's disk", is_no_sync, |world| {
                world.source.disk_power.as_ref()
            }),
            Event::FailSourceSync => self.fail_soon("the source's disk", is_sync, |world| {
                world.source.disk_power.as_ref()
            }),
            Event::FailJournal => self.fail_soon("the journal's file system", is_any, |world| {
                world.source.journal_power.as_ref()
            }),
            Event::FailState => self.fail_soon("the extent map's file system", is_any, |world| {
                world.source.state_power.as_ref()
            }),
            Event::BreakJournal => self.break_journal(),
            Event::Resync => self.request_resync(),
            Event::Verify => {
                if let Some(capture) = self.source.capture() {
                    capture.request_verify();
                    self.log.note("verification is asked for");
                }
            }
            Event::FailMirrorDisk => self.fail_soon("the mirror's disk", is_any, |world| {
                world.mirror.disk_power.as_ref()
            }),
            Event::FailMirrorFiles => self.fail_soon("the mirror's file system", is_any, |world| {
                world.mirror.file_power.as_ref()
            }),
            Event::FillJournal => {
                let room = self.room();
                self.log.note(&format!("room in the journal: {room:?}"));
                self.source.journal.set_capacity(room);
            }
            Event::FillMirror => {
                let room = self.room();
                self.log.note(&format!("room on the mirror: {room:?}"));
                self.mirror.files.set_capacity(room);
            }
            Event::Tamper => tamper::act(self),
        }
        Ok(())
    }

    // ---- what always happens ----

    fn submit(&mut self) {
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

    fn random_request(&mut self) -> Request {
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
    fn step_slot(&mut self, slot: usize) -> bool {
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

    fn acknowledged(&mut self, acknowledged: Acknowledged) {
        let Acknowledged {
            serial,
            lsn,
            outcome,
            durable,
        } = acknowledged;
        let lsn_text = lsn.map_or("not captured".to_owned(), |lsn| format!("LSN {lsn}"));
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

    fn work(&mut self, worker: Worker) -> bool {
        let worked = self.source.work(worker);
        self.note_failed_syncs();
        if worked {
            self.log.note(&format!("{worker:?} worked"));
        }
        worked
    }

    /// A disk whose sync failed may have dropped what it was to write.
    fn note_failed_syncs(&mut self) {
        for places in self.source.disks.take_failed_syncs() {
            self.log
                .note("a sync of the source's disk failed, of which only the capture knows");
            self.model.sync_failed(places);
        }
    }

    fn let_time_pass(&mut self) {
        let nanos = 1 << self.rng.below(32);
        match self.rng.chance(16) {
            true => self.clock.step_back(Duration::from_nanos(nanos)),
            false => self.clock.pass(Duration::from_nanos(nanos)),
        }
    }

    fn ship(&mut self) {
        let hasty = self.rng.chance(2);
        if let Some(ended) = self.source.ship(hasty) {
            self.log.note(&format!("shipped: {}", text(&ended)));
        }
    }

    fn receive(&mut self) {
        if let Some(ended) = self.mirror.receive() {
            self.log.note(&format!("received: {}", text(&ended)));
        }
    }

    fn apply(&mut self) -> bool {
        let ended = self.mirror.apply();
        if let Some(ended) = &ended {
            self.log.note(&format!("applied: {}", text(ended)));
        }
        ended == Some(Ok(true))
    }

    fn room(&mut self) -> Option<u64> {
        (!self.rng.chance(3)).then(|| self.rng.below(96 << 10))
    }

    fn break_journal(&mut self) {
        let power = &self.source.journal_power;
        match self.rng.chance(2) {
            true => {
                self.log.note("the journal's file system fails");
                power.break_down(std::io::ErrorKind::Other);
            }
            false => {
                self.log.note("the journal's file system works");
                power.mend();
            }
        }
    }

    fn request_resync(&mut self) {
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

    fn fail_soon(
        &mut self,
        what: &str,
        among: fn(&'static str) -> bool,
        power: impl Fn(&Self) -> &Power,
    ) {
        let after = 1 + self.rng.below(12);
        let kind = match self.rng.chance(4) {
            true => std::io::ErrorKind::StorageFull,
            false => std::io::ErrorKind::Other,
        };
        power(self).fail_soon(after, among, kind);
        self.log.note(&format!(
            "step {after} of {what} from here on fails: {kind}"
        ));
    }

    // ---- beginnings and ends ----

    /// The last LSN of the series, also where the capture has not taken it up yet.
    fn last_given(&self) -> Lsn {
        let status = self.source.status();
        let captured = status.map_or(Lsn(0), |status| status.captured);
        captured.max(self.journal_end)
    }

    fn start_what_is_down(&mut self) -> Result<(), Failure> {
        if !self.source.is_up() && self.rng.chance(4) {
            self.start_source()?;
        }
        if !self.mirror.is_up() && self.rng.chance(4) {
            self.start_mirror()?;
        }
        Ok(())
    }

    fn start_source(&mut self) -> Result<(), Failure> {
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
                self.journal_end = self.source.journalled();
                return self.check_successor(&status);
            }
        }
        Ok(())
    }

    /// What was acknowledged before a process was killed is in the journal of its successor, or
    /// will be copied because the journal can't take it.
    fn check_successor(&mut self, status: &CaptureStatus) -> Result<(), Failure> {
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

    fn start_mirror(&mut self) -> Result<(), Failure> {
        match self.mirror.start() {
            Err(error) => self
                .log
                .note(&format!("the mirror does not start: {error}")),
            Ok(()) => self.log.note("the mirror has started"),
        }
        Ok(())
    }

    /// Stops the source now or at one of its next steps.
    fn stop_source(&mut self, stop: Stop) -> Result<(), Failure> {
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

    fn stop_mirror(&mut self, stop: Stop) {
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
    fn source_stopped(
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
                if let Some(status) = status {
                    self.ended_as(status);
                }
                Ok(())
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
    fn ended_as(&mut self, status: &CaptureStatus) {
        if !matches!(status.state, CaptureState::Passthrough { .. }) {
            self.owed = Some(status.captured);
            return;
        }
        self.owed = None;
        let last = self.source.journalled();
        let found = self.source.disks.stamps();
        self.model.forget_behind(last);
        self.model.found(last.next(), 0, &found);
    }

    fn check_after_power_cut(&mut self) -> Result<(), Failure> {
        let found = self.source.disks.stamps();
        let lost = self.model.power_cut(&found);
        if let Some(difference) = lost {
            let what = format!("after the power cut the source's {difference}");
            return Err(Failure::new(Promise::P1, what));
        }
        let last = self.source.journalled();
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

    fn mirror_stopped(&mut self, stop: Stop) {
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

    fn restart_source(&mut self) -> Result<(), Failure> {
        self.insist()?;
        if self.front_end.in_flight() > 0 || !self.source.power.is_on() {
            return Ok(());
        }
        self.front_end.stopped();
        self.note_if_told();
        let Some((ended, status)) = self.source.stop_cleanly() else {
            return Ok(());
        };
        self.note_failed_syncs();
        let ended = text(&ended);
        self.log
            .note(&format!("the source's daemon is restarted: {ended}"));
        if !self.source.power.is_on() {
            let stop = self.source.stop.unwrap_or(Stop::Power);
            return self.source_stopped(stop, Some(&status));
        }
        self.ended_as(&status);
        Ok(())
    }

    // ---- what must hold ----

    /// While the extent map can't be written its owner is told that an unclean stop may make
    /// source and mirror differ: nothing is promised after one.
    fn note_if_told(&mut self) {
        let status = self.source.status();
        self.is_told |= status.is_some_and(|status| status.map_trouble.is_some());
    }

    /// Whatever is wrong with journal, line and mirror, requests come to their end.
    fn insist(&mut self) -> Result<(), Failure> {
        if !self.source.is_up() {
            return Ok(());
        }
        for _ in 0..100 {
            for slot in 0..self.front_end.slots() {
                self.step_slot(slot);
            }
            for worker in Worker::ALL {
                self.work(worker);
            }
            if self.front_end.in_flight() == 0 || !self.source.power.is_on() {
                break;
            }
        }
        Ok(())
    }

    /// After each step: hosts that came to their end have, and what can be seen is right.
    pub(crate) fn observe(&mut self) -> Result<(), Failure> {
        if !self.source.power.is_on() {
            let stop = self.source.stop.unwrap_or(Stop::Power);
            let status = self.source.status();
            self.source_stopped(stop, status.as_ref())?;
        }
        if !self.mirror.power.is_on() {
            let stop = self.mirror.stop.unwrap_or(Stop::Power);
            self.mirror_stopped(stop);
        }
        let looked = self.archive.look(&*self.source.outgoing());
        let ends = looked.map_err(|what| Failure::new(Promise::P2, what))?;
        ends.into_iter().for_each(|end| self.model.healed(end));
        self.check_mirror()
    }

    /// P2, where the mirror says that it holds exactly what its cursor says.
    fn check_mirror(&mut self) -> Result<(), Failure> {
        let Some(status) = self.mirror.status().filter(|status| status.is_settled) else {
            return Ok(());
        };
        let applied = status.applied;
        if applied.open_group != Lsn(0) {
            let what = format!("the mirror stands in a group, at {applied}");
            return Err(Failure::new(Promise::P2, what));
        }
        let content = self.mirror.disks.stamps();
        match self.model.differs_at(applied.lsn, &content, |_, _| false) {
            None => Ok(()),
            Some(difference) => {
                let what = format!("at {applied} the mirror's {difference}");
                Err(Failure::new(Promise::P2, what))
            }
        }
    }

    /// Nothing fails any more: everything comes to rest, and both sides are equal.
    fn finish(&mut self) -> Result<(), Failure> {
        self.log.begin_step();
        self.log.note("nothing fails any more");
        self.source.mend();
        self.mirror.mend();
        self.line.mend();
        for _ in 0..ROUNDS_TO_REST {
            self.log.begin_step();
            if self.go_round()? {
                return self.check_rest();
            }
            if self.is_told {
                return self.leave_to_operator();
            }
        }
        Err(Failure::new(
            Promise::P3,
            format!("no rest: {}", self.standing()),
        ))
    }

    fn leave_to_operator(&mut self) -> Result<(), Failure> {
        self.log
            .note("the operator was told that nothing is promised any more");
        Ok(())
    }

    /// Lets everything go on a bit; says whether there is nothing left to do.
    fn go_round(&mut self) -> Result<bool, Failure> {
        if !self.source.is_up() {
            self.start_source()?;
        }
        if !self.mirror.is_up() {
            self.start_mirror()?;
        }
        for slot in 0..self.front_end.slots() {
            while self.step_slot(slot) {}
        }
        let mut worked = false;
        for worker in Worker::ALL {
            worked |= self.work(worker);
        }
        self.clock.pass(Duration::from_millis(300));
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
            && source.state == CaptureState::Capturing
            && source.resync.is_none()
            && source.sealed.lsn == source.captured
            && mirror.applied == source.sealed
            && (self.source.outgoing().list()).is_ok_and(|files| files.is_empty())
    }

    fn standing(&self) -> String {
        format!(
            "{} requests in flight; source {:?}, in open/ {:?}, {:?}; mirror {:?}, {:?}",
            self.front_end.in_flight(),
            self.source.status(),
            self.source.spool().open_folder().list(),
            self.source.trouble,
            self.mirror.cursor(),
            self.mirror.trouble,
        )
    }

    fn check_rest(&mut self) -> Result<(), Failure> {
        let present = self.source.disks.stamps();
        let forever = Lsn(u64::MAX);
        if let Some(difference) = self.model.differs_at(forever, &present, |_, _| false) {
            let what = format!("at rest the source's {difference}");
            return Err(Failure::new(Promise::P2, what));
        }
        // what is at rest must outlive the power
        self.mirror_stopped(Stop::Power);
        let mirrored = self.mirror.disks.stamps();
        let differing = (0..present.len()).find(|&place| present[place] != mirrored[place]);
        if let Some(place) = differing {
            let what = format!(
                "at rest sector {place} holds {} on the source and {} on the mirror",
                sector::name(present[place]),
                sector::name(mirrored[place]),
            );
            return Err(Failure::new(Promise::P3, what));
        }
        self.log.mix(self.source.power.labels().concat().as_bytes());
        self.log.mix(self.mirror.power.labels().concat().as_bytes());
        Ok(())
    }
}

fn is_any(_label: &'static str) -> bool {
    true
}

fn is_sync(label: &'static str) -> bool {
    label.ends_with("sync")
}

fn is_no_sync(label: &'static str) -> bool {
    !is_sync(label)
}

fn text<T: std::fmt::Debug>(ended: &Result<T, String>) -> String {
    match ended {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.clone(),
    }
}

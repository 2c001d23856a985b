//! Both hosts and what happens to them, all of it drawn from one seed.

use aim_core::cursor::Standing;
use aim_core::units::Lsn;
use aim_tests::Rng;

use crate::archive::Archive;
use crate::broken::Broken;
use crate::clock::SimClock;
use crate::failure::{Failure, Promise};
use crate::front_end::FrontEnd;
use crate::line::Line;
use crate::log::Log;
use crate::mirror::Mirror;
use crate::model::Model;
use crate::plan::{Event, Plan};
use crate::sector::DAMAGED;
use crate::source::Source;
use crate::stop::Stop;
use crate::trap::{Trap, TrapAt};

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
    pub(crate) trap: Trap,
    pub(crate) broken: Option<Broken>,
    /// Where the journal ended at the last start.
    pub(crate) journal_end: Lsn,
    /// Up to here the journal was acknowledged as durable.
    pub(crate) promised: Lsn,
    /// What a successor of the killed process must have.
    pub(crate) owed: Option<Lsn>,
    /// The operator was told to copy everything.
    pub(crate) is_told: bool,
    /// Files that the mirror lacked were removed.
    pub(crate) was_left: bool,
    /// The mirror's disks have decayed.
    pub(crate) has_decayed: bool,
}

/// What a run is to be, besides its seed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// A mechanism that does not work.
    pub(crate) broken: Option<Broken>,
    /// A failpoint at which a host comes to its end.
    pub(crate) trap: Option<TrapAt>,
    /// Print each event when it happens.
    pub(crate) prints: bool,
}

impl World {
    /// Sets everything up; nothing is started.
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let clock = SimClock::new();
        let mirror = Mirror::new(&plan.volume, &mut rng);
        let breaks = plan.line_breaks_one_in;
        let line = Line::new(&mirror.files, &mirror.power, breaks, rng.next_u64());
        let (volume, setup) = (&plan.volume, plan.setup);
        let source = Source::new(volume, setup, clock.clone(), line.clone(), &mut rng);
        let mut log = Log::new(options.prints);
        log.note(&format!("{:?}, {} steps", plan.setup, plan.steps));
        if let Some(broken) = options.broken {
            broken.apply(&source, &mirror);
        }
        Self {
            model: Model::new(source.disks.sectors()),
            front_end: FrontEnd::new(setup.slots, setup.request_bytes_max),
            archive: Archive::default(),
            trap: Trap::set(options.trap, &source.power, &mirror.power),
            broken: options.broken,
            journal_end: Lsn(0),
            promised: Lsn(0),
            owed: None,
            is_told: false,
            was_left: false,
            has_decayed: false,
            rng,
            plan,
            log,
            clock,
            source,
            line,
            mirror,
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        self.start_source()?;
        self.start_mirror();
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
            Event::Leave => self.leave_mirror(),
            Event::Receive => self.receive(),
            Event::Apply => drop(self.apply()),
            Event::Resync => self.request_resync(),
            Event::Verify => self.request_verify(),
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
            Event::Fault(fault) => self.fault(fault),
        }
        Ok(())
    }

    /// After each step: hosts that came to their end have, and what can be seen is right.
    pub(crate) fn observe(&mut self) -> Result<(), Failure> {
        if !self.source.power.is_on() {
            let stop = self
                .source
                .stop
                .or_else(|| self.trap.stop())
                .unwrap_or(Stop::Power);
            let status = self.source.status();
            self.source_stopped(stop, status.as_ref())?;
        }
        if !self.mirror.power.is_on() {
            self.mirror_lost();
        }
        let looked = self.archive.look(&*self.source.outgoing());
        let ends = looked.map_err(|what| Failure::new(Promise::P2, what))?;
        ends.into_iter().for_each(|end| self.model.healed(end));
        self.check_standing()?;
        self.check_mirror()
    }

    /// A mirror that was not left lacks no file that is gone: what it has acknowledged it has.
    fn check_standing(&mut self) -> Result<(), Failure> {
        match self.source.standing() {
            Some(Standing::Left) => self.was_left = true,
            Some(Standing::Joins) if !self.was_left => {
                let what = "the mirror lacks files that it had acknowledged".to_owned();
                return Err(Failure::new(Promise::P3, what));
            }
            _ => {}
        }
        Ok(())
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
        if !self.archive.knows(applied) && self.broken != Some(Broken::GroupEarly) {
            let what = format!("the mirror has applied what was never sealed, at {applied}");
            return Err(Failure::new(Promise::P5, what));
        }
        if !self.has_decayed && status.differences.mismatches() > 0 {
            let what = format!("a false alarm, at {applied}: {:?}", status.differences);
            return Err(Failure::new(Promise::P3, what));
        }
        let content = self.mirror.disks.stamps();
        let has_decayed = self.has_decayed;
        let is_excused = |found| has_decayed && found == DAMAGED;
        match self.model.differs_at(applied.lsn, &content, is_excused) {
            None => Ok(()),
            Some(difference) => {
                let what = format!("at {applied} the mirror's {difference}");
                Err(Failure::new(Promise::P2, what))
            }
        }
    }
}

//! A request on its way: to staging memory, to the disk, into the journal, and back to its caller.

use std::task::{Poll, Waker};

use aim_core::device::BlockDevice;
use aim_core::intercept::{Admission, Interceptor, Landing, LandingWait, Outcome};
use aim_core::request::{Operation, Request};
use aim_core::units::Lsn;
use aim_tests::{Rng, VolatileDevice};

use crate::disks::Disks;
use crate::front_end::{Acknowledged, Host, Went};
use crate::model::Model;
use crate::sector::{self, Stamp};

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    serial: u64,
    request: Request,
    /// Its first sector, counted over all disks.
    first: usize,
    /// What it puts on its sectors; none for a flush.
    stamps: Vec<Stamp>,
    /// Which version of each sector it is, once it has been written.
    versions: Vec<u64>,
    /// For a flush, what it makes durable.
    mark: Vec<u64>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    New,
    Landed,
    Admitted(Admission),
    Stored(Admission, Outcome),
    /// Completed; it waits until the journal is durable up to there.
    Completed(Lsn),
}

impl Pending {
    /// The request number `serial`, on the sectors from `first` on.
    pub(crate) fn new(
        serial: u64,
        request: Request,
        first: usize,
        stamps: Vec<Stamp>,
        mark: Vec<u64>,
    ) -> Self {
        Self {
            serial,
            request,
            first,
            stamps,
            versions: Vec::new(),
            mark,
            phase: Phase::New,
        }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Goes one step further.
    pub(crate) fn step<I: Interceptor>(
        &mut self,
        landing: &mut Option<Landing>,
        capacity: usize,
        host: &mut Host<'_, I>,
        waker: &Waker,
    ) -> Went {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::New => self.land(landing, capacity, host, waker),
            Phase::Landed => self.admit(landing.as_mut(), host, waker),
            Phase::Admitted(admission) if host.completes_early => {
                let went = self.complete(admission, Outcome::Done, host);
                self.store(host);
                went
            }
            Phase::Admitted(admission) => {
                let outcome = self.store(host);
                self.phase = Phase::Stored(admission, outcome);
                Went::On("stored")
            }
            Phase::Stored(admission, outcome) => self.complete(admission, outcome, host),
            Phase::Completed(lsn) => match host.interceptor.poll_durable(lsn, waker) {
                Poll::Ready(()) => self.acknowledge(Some(lsn), Outcome::Done, host),
                Poll::Pending => {
                    self.phase = Phase::Completed(lsn);
                    Went::Waits
                }
            },
        }
    }

    fn land<I: Interceptor>(
        &mut self,
        landing: &mut Option<Landing>,
        capacity: usize,
        host: &mut Host<'_, I>,
        waker: &Waker,
    ) -> Went {
        if self.request.operation.has_payload() {
            match host.interceptor.landing(landing.take(), capacity, waker) {
                Err(LandingWait(previous)) => {
                    *landing = previous;
                    return Went::Waits;
                }
                Ok(mut place) => {
                    let bytes = sector::bytes(&self.stamps);
                    place.as_mut_slice()[..bytes.len()].copy_from_slice(&bytes);
                    *landing = Some(place);
                }
            }
        }
        self.phase = Phase::Landed;
        Went::On("landed")
    }

    fn admit<I: Interceptor>(
        &mut self,
        landing: Option<&mut Landing>,
        host: &mut Host<'_, I>,
        waker: &Waker,
    ) -> Went {
        let landing = landing.filter(|_| self.request.operation.has_payload());
        match host.interceptor.admit(&self.request, landing, waker) {
            Err(_) => {
                self.phase = Phase::Landed;
                Went::Waits
            }
            Ok(admission) => {
                if let (Operation::Flush, Admission::Captured(ticket)) =
                    (self.request.operation, &admission)
                {
                    // as the front end of ublk does: the journal is synced beside the disk
                    let _ = host.interceptor.poll_durable(ticket.lsn(), Waker::noop());
                }
                self.phase = Phase::Admitted(admission);
                Went::On("admitted")
            }
        }
    }

    /// Does it on the disk.
    fn store<I>(&mut self, host: &mut Host<'_, I>) -> Outcome {
        let disk = host.disks.disk(self.request.device);
        let stored = self.store_on(disk);
        self.note_versions(host.model);
        if stored.is_err() {
            return Outcome::Failed;
        }
        if self.asks_for_durability() && disk.sync().is_err() {
            let places = host.disks.places(self.request.device);
            host.model.sync_failed(places);
            return Outcome::Failed;
        }
        Outcome::Done
    }

    fn asks_for_durability(&self) -> bool {
        self.request.fua || self.request.operation == Operation::Flush
    }

    fn store_on(&self, disk: &VolatileDevice) -> std::io::Result<()> {
        let Request {
            operation,
            offset,
            len,
            ..
        } = self.request;
        match operation {
            Operation::Write => disk.write(offset, &sector::bytes(&self.stamps)),
            Operation::WriteZeroes { unmap } => disk.write_zeroes(offset, len, unmap),
            Operation::Discard => disk.discard(offset, len),
            Operation::Flush | Operation::Read => Ok(()),
        }
    }

    fn note_versions(&mut self, model: &mut Model) {
        let places = (self.first..).zip(&self.stamps);
        let versions = places.map(|(place, &stamp)| model.written(place, stamp));
        self.versions = versions.collect();
    }

    fn complete<I: Interceptor>(
        &mut self,
        admission: Admission,
        outcome: Outcome,
        host: &mut Host<'_, I>,
    ) -> Went {
        let found = || host.disks.stamps_at(self.first, self.stamps.len());
        let Admission::Captured(ticket) = admission else {
            host.model.found(host.last.next(), self.first, &found());
            return self.acknowledge(None, outcome, host);
        };
        let lsn = ticket.lsn();
        match outcome {
            _ if lsn == Lsn(0) => host.model.found(host.last.next(), self.first, &found()),
            Outcome::Done => host.model.done(lsn, self.first, &self.stamps),
            Outcome::Failed => host.model.undetermined(lsn, self.first, &found()),
        }
        host.interceptor.complete(ticket, outcome);
        if self.asks_for_durability() && outcome == Outcome::Done {
            self.phase = Phase::Completed(lsn);
            return Went::On("completed");
        }
        self.acknowledge(Some(lsn), outcome, host)
    }

    fn acknowledge<I>(&self, lsn: Option<Lsn>, outcome: Outcome, host: &mut Host<'_, I>) -> Went {
        let done = outcome == Outcome::Done;
        if done {
            for (place, &version) in (self.first..).zip(&self.versions) {
                host.model.acknowledged(place, version);
                if self.request.fua {
                    host.model.durable(place, version);
                }
            }
            let marked = host.disks.places(self.request.device);
            for (place, &version) in marked.zip(&self.mark) {
                host.model.durable(place, version);
            }
        }
        Went::Acknowledged(Acknowledged {
            serial: self.serial,
            lsn,
            outcome,
            durable: done && self.asks_for_durability(),
        })
    }

    /// Its process was killed: it will be issued again.
    pub(crate) fn killed(&mut self, disks: &Disks, model: &mut Model, last: Lsn, rng: &mut Rng) {
        self.land_late(disks, model, rng);
        let found = disks.stamps_at(self.first, self.stamps.len());
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Admitted(Admission::Captured(ticket))
            | Phase::Stored(Admission::Captured(ticket), _) => {
                match ticket.lsn() {
                    Lsn(0) => model.found(last.next(), self.first, &found),
                    lsn => model.undetermined(lsn, self.first, &found),
                }
                ticket.settle();
            }
            Phase::Admitted(_) | Phase::Stored(..) => {
                model.found(last.next(), self.first, &found);
            }
            Phase::New | Phase::Landed | Phase::Completed(_) => {}
        }
    }

    /// I/O that was under way when its process ended.
    pub(crate) fn land_late(&mut self, disks: &Disks, model: &mut Model, rng: &mut Rng) {
        if !matches!(self.phase, Phase::Admitted(_)) || rng.chance(2) {
            return;
        }
        let disk = disks.disk(self.request.device);
        let whole = rng.chance(2);
        for (place, &stamp) in (self.first..).zip(&self.stamps) {
            if whole || rng.chance(2) {
                disk.land(disks.offset(place), &sector::bytes(&[stamp]));
                model.written(place, stamp);
            }
        }
    }

    /// Gives back a ticket that nobody will complete.
    pub(crate) fn settle(&mut self) {
        if let Phase::Admitted(Admission::Captured(ticket))
        | Phase::Stored(Admission::Captured(ticket), _) =
            std::mem::replace(&mut self.phase, Phase::New)
        {
            ticket.settle();
        }
    }
}

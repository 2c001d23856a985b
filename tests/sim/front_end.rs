//! What a front end does with a request, step by step, as the slots of a ublk queue do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

use aim_core::device::BlockDevice;
use aim_core::intercept::{Admission, Interceptor, Landing, LandingWait, Outcome};
use aim_core::request::{Operation, Request};
use aim_core::units::Lsn;
use aim_tests::{Rng, VolatileDevice};

use crate::disks::Disks;
use crate::model::Model;
use crate::sector::{self, Stamp};

/// The slots of the front end.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    slots: Vec<Slot>,
    serial: u64,
    /// Payload bytes of the largest request.
    capacity: usize,
}

/// One request that can be in flight.
#[derive(Debug)]
struct Slot {
    landing: Option<Landing>,
    woken: Arc<Woken>,
    pending: Option<Pending>,
}

/// A request on its way.
#[derive(Debug)]
struct Pending {
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

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// Something was done, by this name.
    On(&'static str),
    /// Nothing can be done before it is woken.
    Waits,
    /// The request was acknowledged.
    Acknowledged(Acknowledged),
}

/// A request as its caller sees it at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) serial: u64,
    /// Its place in the order, if it was captured.
    pub(crate) lsn: Option<Lsn>,
    pub(crate) outcome: Outcome,
    /// Whether the caller was told that it is durable.
    pub(crate) durable: bool,
}

#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a step works on.
#[derive(Debug)]
pub(crate) struct Host<'a, I> {
    pub(crate) interceptor: &'a I,
    pub(crate) disks: &'a Disks,
    pub(crate) model: &'a mut Model,
    /// Completes requests before their I/O, so that ranges are unlocked too early.
    pub(crate) completes_early: bool,
    /// The last LSN that was given.
    pub(crate) last: Lsn,
}

impl FrontEnd {
    pub(crate) fn new(slots: usize, capacity: usize) -> Self {
        let slot = || Slot {
            landing: None,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            pending: None,
        };
        Self {
            slots: (0..slots).map(|_| slot()).collect(),
            serial: 0,
            capacity,
        }
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.pending.is_some())
            .count()
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Puts a request in a free slot, if there is one; gives its number.
    pub(crate) fn submit(&mut self, request: Request, disks: &Disks, model: &Model) -> Option<u64> {
        let slot = self.slots.iter_mut().find(|slot| slot.pending.is_none())?;
        self.serial += 1;
        let serial = self.serial;
        let first = disks.place(request.device, request.offset);
        let sectors = request.len.get() as usize / sector::BYTES;
        let stamps = (first..first + sectors).map(|place| match request.operation {
            Operation::Write => sector::stamp(serial, place),
            _ => sector::ZERO,
        });
        let mark = match request.operation {
            Operation::Flush => model.mark(disks.places(request.device)),
            _ => Vec::new(),
        };
        slot.woken.0.store(true, Ordering::SeqCst);
        slot.pending = Some(Pending {
            serial,
            request,
            first,
            stamps: stamps.collect(),
            versions: Vec::new(),
            mark,
            phase: Phase::New,
        });
        Some(serial)
    }

    /// Takes the request in a slot one step further; `None` if there is none.
    pub(crate) fn step<I: Interceptor>(
        &mut self,
        index: usize,
        host: &mut Host<'_, I>,
    ) -> Option<(u64, Went)> {
        let slot = &mut self.slots[index];
        let pending = slot.pending.as_mut()?;
        let serial = pending.serial;
        if !slot.woken.0.swap(false, Ordering::SeqCst) {
            return Some((serial, Went::Waits));
        }
        let waker = Waker::from(Arc::clone(&slot.woken));
        let went = pending.step(&mut slot.landing, self.capacity, host, &waker);
        if went != Went::Waits {
            slot.woken.0.store(true, Ordering::SeqCst);
        }
        if matches!(went, Went::Acknowledged(_)) {
            slot.pending = None;
        }
        Some((serial, went))
    }

    /// The process ends as it should: its memory goes.
    pub(crate) fn stopped(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.landing = None);
    }

    /// The process is killed. What its kernel had begun may still come to the disks; then the
    /// requests that were not acknowledged wait to be issued again.
    pub(crate) fn killed(&mut self, disks: &Disks, model: &mut Model, last: Lsn, rng: &mut Rng) {
        for slot in &mut self.slots {
            slot.landing = None;
            slot.woken.0.store(true, Ordering::SeqCst);
            let Some(pending) = &mut slot.pending else {
                continue;
            };
            pending.land_late(disks, model, rng);
            let found = disks.stamps_at(pending.first, pending.stamps.len());
            match std::mem::replace(&mut pending.phase, Phase::New) {
                Phase::Admitted(Admission::Captured(ticket))
                | Phase::Stored(Admission::Captured(ticket), _) => {
                    match ticket.lsn() {
                        Lsn(0) => model.found(last.next(), pending.first, &found),
                        lsn => model.undetermined(lsn, pending.first, &found),
                    }
                    ticket.settle();
                }
                Phase::Admitted(_) | Phase::Stored(..) => {
                    model.found(last.next(), pending.first, &found);
                }
                Phase::New | Phase::Landed | Phase::Completed(_) => {}
            }
        }
    }

    /// The power goes. What was on its way to the disks may have come there, in part.
    pub(crate) fn lost_power(&mut self, disks: &Disks, model: &mut Model, rng: &mut Rng) {
        for slot in &mut self.slots {
            slot.landing = None;
            if let Some(mut pending) = slot.pending.take() {
                pending.land_late(disks, model, rng);
                pending.settle();
            }
        }
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(mut pending) = slot.pending.take() {
                pending.settle();
            }
        }
    }
}

impl Pending {
    fn step<I: Interceptor>(
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

    /// I/O that was under way when its process ended.
    fn land_late(&mut self, disks: &Disks, model: &mut Model, rng: &mut Rng) {
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
    fn settle(&mut self) {
        if let Phase::Admitted(Admission::Captured(ticket))
        | Phase::Stored(Admission::Captured(ticket), _) =
            std::mem::replace(&mut self.phase, Phase::New)
        {
            ticket.settle();
        }
    }
}

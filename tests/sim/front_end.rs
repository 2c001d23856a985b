//! What a front end does with a request, step by step, as the slots of a ublk queue do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use aim_core::intercept::{Interceptor, Landing, Outcome};
use aim_core::request::{Operation, Request};
use aim_core::units::Lsn;
use aim_tests::Rng;

use crate::disks::Disks;
use crate::model::Model;
use crate::pending::Pending;
use crate::sector;

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
        let pending = Pending::new(serial, request, first, stamps.collect(), mark);
        slot.pending = Some(pending);
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
        let serial = pending.serial();
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
            pending.killed(disks, model, last, rng);
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

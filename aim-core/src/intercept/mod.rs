//! The seam between a front end that receives I/O requests and whatever captures them.
//!
//! ```text
//! front end (one tag)                    interceptor
//!   landing(..)      ───────────────────▶  a place in staging memory
//!   payload lands there; request known
//!   admit(request)   ───────────────────▶  LSN under the range lock, or "wait"
//!   I/O on the disk, straight from the landing
//!   complete(ticket) ───────────────────▶  the record may be drained
//!   flush / FUA: poll_durable(lsn) ─────▶  journal synced
//!   acknowledge the request
//! ```
//!
//! The kernel's copy of a payload *is* the capture: the interceptor owns the memory and says
//! where the next payload shall land. A front end without a kernel behind it copies there.
//! No method blocks. Where a request can't go on, the caller's [`Waker`] is kept and woken when
//! it is worth asking again; wake-ups may be spurious.

mod memory;

use std::ptr::NonNull;
use std::task::{Poll, Waker};

pub use memory::{Memory, Steady};

use crate::request::Request;
use crate::units::Lsn;

/// Sees every request of a volume, reads too, and captures those that change the disk.
pub trait Interceptor: Send + Sync + 'static {
    /// Says where the next payload of up to `capacity` bytes shall land.
    ///
    /// A front end keeps one landing per request that it can have in flight (a ublk tag) and
    /// hands it back here, `previous`, once its request is complete: it gets the same memory
    /// again, or the bytes after the payload just admitted, or another place. Until a write is
    /// admitted the memory is scratch space: a read may use it as its buffer.
    ///
    /// # Errors
    ///
    /// [`LandingWait`] hands `previous` back when staging memory is full; `waker` is kept.
    fn landing(
        &self,
        previous: Option<Landing>,
        capacity: usize,
        waker: &Waker,
    ) -> Result<Landing, LandingWait>;

    /// Takes in one request, before its I/O is issued to the disk.
    ///
    /// A write's payload must already lie at the start of `landing`; from here on these
    /// `request.len` bytes are frozen until the interceptor has journalled them, and the landing
    /// starts behind them. A captured request has its LSN, and its range stays locked until
    /// [`complete`](Self::complete): of two overlapping requests the second waits, so that both
    /// media see one order.
    ///
    /// # Errors
    ///
    /// [`Wait`] when an overlapping request is in flight, the record table is full, or the range
    /// was not written to for a while and that has to be noted first; `waker` is kept, nothing was
    /// taken in, and the caller admits the same request again later.
    fn admit(
        &self,
        request: &Request,
        landing: Option<&mut Landing>,
        waker: &Waker,
    ) -> Result<Admission, Wait>;

    /// Says how an admitted request ended on the disk, and unlocks its range.
    ///
    /// After this the request may be acknowledged, unless it is a flush or has FUA: then
    /// [`poll_durable`](Self::poll_durable) first.
    fn complete(&self, ticket: Ticket, outcome: Outcome);

    /// Ready when the journal holds everything up to and including `lsn` durably.
    ///
    /// Those who wait together share one sync. A flush may ask before it is completed, so that the
    /// journal is synced beside the disk. Also ready when the volume no longer captures
    /// (passthrough): the local disk comes first, and the loss of capture is reported elsewhere.
    fn poll_durable(&self, lsn: Lsn, waker: &Waker) -> Poll<()>;

    /// The memory in which landings lie, if it is one piece: a front end may have the kernel hold
    /// it, so that I/O from landings need not look for its pages each time.
    fn memory(&self) -> Option<Memory> {
        None
    }
}

/// How a request ended on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The disk did it.
    Done,
    /// The disk refused or failed it: the mirror must not do it either.
    Failed,
}

/// What became of an admitted request.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// Nothing to capture: a read, or a flush of a volume in passthrough.
    Pass,
    /// It has its place in the order, or, in passthrough, at least a lock on its range; the ticket
    /// must be given back.
    Captured(Ticket),
}

/// Why a request has to wait. The waker given with the call is woken when asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    /// Staging memory or the record table is full: back-pressure.
    #[error("the staging ring is full")]
    Full,
    /// A request in flight covers part of the same range.
    #[error("an overlapping request is in flight")]
    Overlap,
    /// It is being noted durably that the range is about to change.
    #[error("the extent map is being written")]
    Map,
}

/// No place to land yet; carries the previous landing back to its owner.
#[derive(Debug, thiserror::Error)]
#[error("the staging ring is full")]
pub struct LandingWait(pub Option<Landing>);

/// Exclusive use of a piece of staging memory where one payload can land.
#[derive(Debug)]
pub struct Landing {
    address: NonNull<u8>,
    capacity: usize,
    /// The interceptor's own name for the memory behind it.
    token: u64,
}

// SAFETY: a landing is the only handle to its bytes (see `new`), so it may change threads.
unsafe impl Send for Landing {}

impl Landing {
    /// Hands out `capacity` bytes at `address`, known to the interceptor as `token`.
    ///
    /// # Safety
    ///
    /// The bytes must be mapped, readable and writable until the interceptor gets the landing
    /// back or is dropped last, and no one else may use them meanwhile. They must have been
    /// initialized once.
    pub unsafe fn new(address: NonNull<u8>, capacity: usize, token: u64) -> Self {
        Self {
            address,
            capacity,
            token,
        }
    }

    /// Address of the first byte: what a kernel interface takes. Aligned to 4096 after a fresh
    /// place, to 512 after an admitted payload.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Bytes that may be used from there.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The interceptor's own name for the memory.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The whole landing as a buffer, for a read or for a front end that copies its payload.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `new` promises that the bytes are valid, initialized and used by no one else.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.capacity) }
    }

    /// Moves the start behind the first `len` bytes, which the interceptor now owns.
    ///
    /// # Panics
    ///
    /// If `len` is more than the capacity: a front end that admits more than it was given room
    /// for has already overwritten foreign memory.
    pub fn advance(&mut self, len: usize) {
        assert!(
            len <= self.capacity,
            "payload of {len} bytes in {} bytes",
            self.capacity
        );
        // SAFETY: inside or one past the end of the region, by the assertion above.
        self.address = unsafe { self.address.add(len) };
        self.capacity -= len;
    }
}

/// Proof that a request was captured; owed back through [`Interceptor::complete`].
///
/// Dropping it would leave a range locked and the order waiting for ever, so that is a bug in the
/// front end, and loud.
#[derive(Debug)]
#[must_use = "an admitted request must be completed"]
pub struct Ticket {
    lsn: Lsn,
    token: u64,
    owed: bool,
}

impl Ticket {
    /// For interceptors: a ticket for `lsn` with the interceptor's own `token`.
    pub fn new(lsn: Lsn, token: u64) -> Self {
        Self {
            lsn,
            token,
            owed: true,
        }
    }

    /// Place of the request in the order of the volume; 0 in passthrough, where it has none.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// For interceptors: settles the ticket, giving back the token.
    pub fn settle(mut self) -> u64 {
        self.owed = false;
        self.token
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.owed && !std::thread::panicking() {
            tracing::error!(
                lsn = self.lsn.get(),
                "a captured request was dropped uncompleted"
            );
            debug_assert!(false, "ticket for LSN {} dropped uncompleted", self.lsn);
        }
    }
}

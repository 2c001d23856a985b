//! The life of one request slot: fetch a request, serve it, commit it and fetch the next.

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::task::{Poll, Waker};

use aim_core::intercept::{Admission, Interceptor, Landing, Outcome};
use aim_core::request::{Operation, Request};
use aim_core::units::{ByteLen, ByteOffset};
use libublk::io::UblkQueue;
use libublk::sys;
use rustix::io::Errno;

use super::command::Commands;
use super::disk::Disk;
use super::place::Place;
use super::ring::Ring;
use crate::config::ReadPath;
use crate::latencies::{Recorders, RequestKind};
use crate::params::SECTOR;

/// What all slots of a queue have in common.
pub(super) struct Slots<'q> {
    pub(super) queue: &'q UblkQueue<'q>,
    pub(super) ring: &'q Ring,
    pub(super) commands: Commands,
    /// The device's own control file.
    pub(super) control: BorrowedFd<'q>,
    pub(super) interceptor: &'q dyn Interceptor,
    pub(super) disk: Disk<'q>,
    pub(super) recorders: &'q Recorders,
    /// Index of the device in its volume.
    pub(super) device: u16,
    /// Size of the device in bytes.
    pub(super) size: u64,
    /// Largest payload in bytes.
    pub(super) capacity: usize,
}

/// One request slot of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Its number in the queue.
    pub(super) tag: u16,
    /// The number of the task that serves it.
    pub(super) task: usize,
}

/// Serves the requests of `slot` until the device is stopped.
///
/// # Errors
///
/// What the driver said when it refused a fetch or a commit.
pub(super) async fn serve(slots: &Slots<'_>, slot: Slot) -> Result<(), io::Error> {
    let mut place = Place::new(slots.interceptor, slots.capacity);
    let mut command = slots.commands.fetch(slot.tag, place.address());
    loop {
        // SAFETY: a payload lands at the place, which has the capacity of the largest and is
        // this task's own; who drops the task before the end keeps it (`thread::run`).
        let fetched = unsafe { slots.ring.command(slot.task, command) }.await;
        match fetched {
            sys::UBLK_IO_RES_ABORT => return Ok(()),
            code if code < 0 => return Err(io::Error::from_raw_os_error(-code)),
            _ => {}
        }
        let since = slots.ring.now();
        let (kind, result) = answer(slots, slot, &mut place).await;
        if let Some(kind) = kind {
            let time = slots.ring.now() - since;
            slots.recorders.request(kind, time);
        }
        if slots.ring.is_stopping() {
            // the kernel answers the request by itself, and would never end the command
            return Ok(());
        }
        command = slots.commands.commit(slot.tag, place.address(), result);
    }
}

/// Serves the request that was fetched, and gets a place for the next. Gives its kind, and what
/// the driver takes as a result: bytes moved, or a negated error number.
async fn answer(slots: &Slots<'_>, slot: Slot, place: &mut Place) -> (Option<RequestKind>, i32) {
    let (request, served) = match fetched_request(slots, slot.tag) {
        Ok(request) => (Some(request), perform(slots, slot, &request, place).await),
        Err(errno) => (None, Err(errno)),
    };
    let operation = request.map(|request| request.operation);
    if operation != Some(Operation::Read) {
        place.renew(slots.interceptor);
    }
    let result = match (served, request) {
        (Err(errno), _) => -errno.raw_os_error(),
        (Ok(()), Some(request))
            if matches!(operation, Some(Operation::Read | Operation::Write)) =>
        {
            // fits: at most the capacity, 32 MiB
            request.len.get() as i32
        }
        (Ok(()), _) => 0,
    };
    (operation.map(RequestKind::of), result)
}

/// The request in the descriptor of `tag`, if the device can have such a one.
fn fetched_request(slots: &Slots<'_>, tag: u16) -> Result<Request, Errno> {
    let descriptor = *slots.queue.get_iod(tag);
    let flags = descriptor.op_flags;
    let operation = match flags & 0xff {
        sys::UBLK_IO_OP_READ => Operation::Read,
        sys::UBLK_IO_OP_WRITE => Operation::Write,
        sys::UBLK_IO_OP_FLUSH => Operation::Flush,
        sys::UBLK_IO_OP_DISCARD => Operation::Discard,
        sys::UBLK_IO_OP_WRITE_ZEROES => Operation::WriteZeroes {
            unmap: flags & sys::UBLK_IO_F_NOUNMAP == 0,
        },
        _ => return Err(Errno::OPNOTSUPP),
    };
    let (offset, len) = if operation == Operation::Flush {
        (0, 0)
    } else {
        let len = u64::from(descriptor.nr_sectors) * SECTOR;
        (descriptor.start_sector.saturating_mul(SECTOR), len)
    };
    let has_data = matches!(operation, Operation::Read | Operation::Write);
    if offset.checked_add(len).is_none_or(|end| end > slots.size)
        || (has_data && len > slots.capacity as u64)
    {
        return Err(Errno::INVAL);
    }
    Ok(Request {
        device: slots.device,
        operation,
        offset: ByteOffset(offset),
        len: ByteLen(len),
        fua: flags & sys::UBLK_IO_F_FUA != 0,
    })
}

/// Has the request captured, does it on the disk, and waits for the journal where the caller is
/// promised durability.
async fn perform(
    slots: &Slots<'_>,
    slot: Slot,
    request: &Request,
    place: &mut Place,
) -> Result<(), Errno> {
    let interceptor = slots.interceptor;
    let has_payload = request.operation.has_payload();
    if has_payload {
        land(slots, slot, request.len.get() as u32, place).await?;
    }
    // admission moves the start of the landing behind the payload
    let payload = place.address();
    let admission = poll_fn(|cx| {
        let landing = if has_payload { place.landing() } else { None };
        // a wait keeps the waker and takes nothing in: ask again when woken
        match interceptor.admit(request, landing, cx.waker()) {
            Ok(admission) => Poll::Ready(admission),
            Err(_) => Poll::Pending,
        }
    })
    .await;
    if let (Operation::Flush, Admission::Captured(ticket)) = (request.operation, &admission) {
        // the journal is synced beside the disk, not after it; its answer is taken below
        let _ = interceptor.poll_durable(ticket.lsn(), Waker::noop());
    }
    let since = slots.ring.now();
    let done = transfer(slots, slot, request, payload).await;
    let time = slots.ring.now() - since;
    let kind = RequestKind::of(request.operation);
    slots.recorders.disk(kind, time);
    let Admission::Captured(ticket) = admission else {
        return done;
    };
    let lsn = ticket.lsn();
    let outcome = if done.is_ok() {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    interceptor.complete(ticket, outcome);
    if done.is_ok() && (request.fua || request.operation == Operation::Flush) {
        let since = slots.ring.now();
        poll_fn(|cx| interceptor.poll_durable(lsn, cx.waker())).await;
        let time = slots.ring.now() - since;
        slots.recorders.journal(time);
    }
    done
}

/// Has the payload of a write, of `len` bytes, lie in a landing.
async fn land(slots: &Slots<'_>, slot: Slot, len: u32, place: &mut Place) -> Result<(), Errno> {
    match slots.commands.reads() {
        ReadPath::Copy => place.settle(slots.interceptor, len as usize).await,
        ReadPath::ZeroCopy => {
            // nothing has landed yet
            place.settle(slots.interceptor, 0).await;
            let payload = place.landing().map(Landing::as_mut_slice);
            let payload = payload.and_then(|landing| landing.get_mut(..len as usize));
            // a settled place has a landing, with room for the largest payload
            let payload = payload.ok_or(Errno::NOMEM)?;
            fetch_payload(slots, slot.tag, payload)?;
        }
    }
    Ok(())
}

/// Copies the payload of the write that `tag` has fetched. This is a copy from memory: as an
/// operation of the ring it would go to another thread, as all that might sleep.
fn fetch_payload(slots: &Slots<'_>, tag: u16, payload: &mut [u8]) -> Result<(), Errno> {
    let position = slots.commands.payload_position(tag);
    let mut done = 0;
    while done < payload.len() {
        let from = position + done as u64;
        match rustix::io::pread(slots.control, &mut payload[done..], from) {
            Ok(0) => return Err(Errno::IO),
            Ok(copied) => done += copied,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Does the request on the disk. `payload` is where its bytes are, or shall be.
async fn transfer(
    slots: &Slots<'_>,
    slot: Slot,
    request: &Request,
    payload: NonNull<u8>,
) -> Result<(), Errno> {
    let (disk, task) = (&slots.disk, slot.task);
    let (offset, len) = (request.offset.get(), request.len.get());
    let done = match request.operation {
        Operation::Read if slots.commands.reads() == ReadPath::ZeroCopy => {
            disk.read_into_request(task, offset, slot.tag, len as u32)
                .await
        }
        // SAFETY: the place has room for the largest payload, and is this task's own; what a
        // captured one's bytes are stays as it is until the interceptor is told of their end.
        Operation::Read => unsafe { disk.read(task, offset, payload, len as u32) }.await,
        Operation::Write => {
            // SAFETY: as above.
            unsafe { disk.write(task, offset, payload, len as u32, request.fua) }.await
        }
        Operation::WriteZeroes { unmap } => disk.zero(task, offset, len, unmap).await,
        Operation::Discard => disk.zero(task, offset, len, true).await,
        Operation::Flush => disk.sync(task).await,
    };
    match done {
        // only a write takes the flag itself
        Ok(()) if request.fua && !request.operation.has_payload() => disk.sync(task).await,
        done => done,
    }
}

//! The life of one request slot: fetch a request, serve it, commit it and fetch the next.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

use aim_core::intercept::{Admission, Interceptor, Outcome};
use aim_core::request::{Operation, Request};
use aim_core::units::{ByteLen, ByteOffset};
use libublk::helpers::IoBuf;
use libublk::io::UblkQueue;
use libublk::{BufDesc, UblkError, sys};
use rustix::io::Errno;

use super::disk::Disk;
use super::place::Place;
use crate::error::into_io;
use crate::params::SECTOR;

/// What all slots of a queue have in common.
pub(super) struct Slots<'q> {
    pub(super) queue: &'q UblkQueue<'q>,
    pub(super) interceptor: &'q dyn Interceptor,
    pub(super) disk: Disk,
    /// The library counts buffers before it lets a device start; requests never land in this
    /// one.
    pub(super) registered: IoBuf<u8>,
    /// Index of the device in its volume.
    pub(super) device: u16,
    /// Size of the device in bytes.
    pub(super) size: u64,
    /// Largest payload in bytes.
    pub(super) capacity: usize,
}

/// Serves the requests of `tag` until the device is stopped.
///
/// # Errors
///
/// What the driver said when it refused a fetch or a commit.
pub(super) async fn serve(slots: &Slots<'_>, tag: u16) -> Result<(), io::Error> {
    let queue = slots.queue;
    let mut place = Place::new(slots.interceptor, slots.capacity);
    let first = BufDesc::RawAddress(place.address().as_ptr());
    let mut fetched = queue
        .submit_io_prep_cmd(tag, first, -1, Some(&slots.registered))
        .await;
    loop {
        match fetched {
            Ok(code) if code >= 0 => {}
            Ok(code) => return Err(io::Error::from_raw_os_error(-code)),
            Err(UblkError::QueueIsDown) => return Ok(()),
            Err(error) => return Err(into_io(error)),
        }
        let result = answer(slots, tag, &mut place).await;
        if queue.is_stopping() {
            // the library would take the commit and never end it; the kernel answers the
            // request by itself
            return Ok(());
        }
        let next = BufDesc::RawAddress(place.address().as_ptr());
        fetched = queue.submit_io_commit_cmd(tag, next, result).await;
    }
}

/// Serves the request that was fetched, and gets a place for the next. Gives what the driver
/// takes as a result: bytes moved, or a negated error number.
async fn answer(slots: &Slots<'_>, tag: u16, place: &mut Place) -> i32 {
    let (request, served) = match fetched_request(slots, tag) {
        Ok(request) => (Some(request), perform(slots, &request, place).await),
        Err(errno) => (None, Err(errno)),
    };
    let operation = request.map(|request| request.operation);
    if operation != Some(Operation::Read) {
        place.renew(slots.interceptor);
    }
    match (served, request) {
        (Err(errno), _) => -errno.raw_os_error(),
        (Ok(()), Some(request))
            if matches!(operation, Some(Operation::Read | Operation::Write)) =>
        {
            // fits: at most the capacity, 32 MiB
            request.len.get() as i32
        }
        (Ok(()), _) => 0,
    }
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
async fn perform(slots: &Slots<'_>, request: &Request, place: &mut Place) -> Result<(), Errno> {
    let interceptor = slots.interceptor;
    let has_payload = request.operation.has_payload();
    if has_payload {
        place.settle(interceptor, request.len.get() as usize).await;
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
    let (offset, len) = (request.offset.get(), request.len.get());
    let done = match request.operation {
        Operation::Read => slots.disk.read(offset, payload, len as u32).await,
        Operation::Write => {
            let durable = request.fua;
            slots.disk.write(offset, payload, len as u32, durable).await
        }
        Operation::WriteZeroes { unmap } => slots.disk.zero(offset, len, unmap).await,
        Operation::Discard => slots.disk.zero(offset, len, true).await,
        Operation::Flush => slots.disk.sync().await,
    };
    let done = match done {
        // only a write takes the flag itself
        Ok(()) if request.fua && !has_payload => slots.disk.sync().await,
        done => done,
    };
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
        poll_fn(|cx| interceptor.poll_durable(lsn, cx.waker())).await;
    }
    done
}

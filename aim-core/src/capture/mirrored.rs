//! A mirrored device for those who embed the library: any disk with a capture in front of it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use super::{Capture, NotDrained};
use crate::device::BlockDevice;
use crate::intercept::{Admission, Interceptor, Landing, Outcome, Ticket, Wait};
use crate::request::{Operation, Request};
use crate::units::{ByteLen, ByteOffset, Lsn};

/// A [`BlockDevice`] whose changes go to the device behind it and into the journal.
///
/// Calls block; they may come from several threads. A write is copied once, into staging memory:
/// that copy goes to the disk and to the journal, so a buffer that changes meanwhile can't make
/// them differ. Writes above `request_bytes_max` are several transactions.
#[derive(Debug)]
pub struct MirroredDevice<D> {
    device: D,
    capture: Capture,
    request_bytes_max: usize,
    /// A place for each landing of the capture; those that were never used are `None`.
    idle: Mutex<Vec<Option<Landing>>>,
    returned: Condvar,
}

impl<D: BlockDevice> MirroredDevice<D> {
    /// Puts `capture` in front of `device`.
    ///
    /// As many calls can be under way at once as the capture's staging has landings; further
    /// ones wait.
    pub fn new(device: D, capture: Capture) -> Self {
        let staging = capture.staging();
        let (request_bytes_max, landings) = (staging.request_bytes_max, staging.landings);
        let idle = Mutex::new((0..landings).map(|_| None).collect());
        Self {
            device,
            capture,
            request_bytes_max,
            idle,
            returned: Condvar::new(),
        }
    }

    /// The capture, for its status.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Stops the capture cleanly and gives the device back.
    pub fn stop(self) -> Result<D, NotDrained> {
        self.capture.stop()?;
        Ok(self.device)
    }

    fn write_piece(&self, request: &Request, data: &[u8]) -> io::Result<()> {
        let mut landing = self.take_landing();
        landing.as_mut_slice()[..data.len()].copy_from_slice(data);
        let address = landing.address();
        let admission = self.admit(request, Some(&mut landing));
        // SAFETY: `admit` froze these bytes: nobody writes to them before the ticket is settled
        // and the drain is done, and both come after this use.
        let frozen = unsafe { std::slice::from_raw_parts(address.as_ptr(), data.len()) };
        let written = self.device.write(request.offset, frozen);
        self.put_landing(landing);
        self.settle(admission, request, written)
    }

    fn change(&self, request: &Request, act: impl FnOnce(&D) -> io::Result<()>) -> io::Result<()> {
        let admission = self.admit(request, None);
        let done = act(&self.device);
        self.settle(admission, request, done)
    }

    /// Completes the ticket as the disk's part ended, and waits for the journal where the caller
    /// is promised durability.
    fn settle(
        &self,
        admission: Admission,
        request: &Request,
        done: io::Result<()>,
    ) -> io::Result<()> {
        let Admission::Captured(ticket) = admission else {
            return done;
        };
        let lsn = ticket.lsn();
        self.complete(ticket, &done);
        if done.is_ok() && (request.fua || request.operation == Operation::Flush) {
            self.wait_durable(lsn);
        }
        done
    }

    fn complete(&self, ticket: Ticket, done: &io::Result<()>) {
        let outcome = if done.is_ok() {
            Outcome::Done
        } else {
            Outcome::Failed
        };
        self.capture.complete(ticket, outcome);
    }

    fn admit(&self, request: &Request, mut landing: Option<&mut Landing>) -> Admission {
        block_on(
            |waker| match self.capture.admit(request, landing.as_deref_mut(), waker) {
                Ok(admission) => Poll::Ready(admission),
                Err(Wait::Full | Wait::Overlap | Wait::Map) => Poll::Pending,
            },
        )
    }

    fn wait_durable(&self, lsn: Lsn) {
        block_on(|waker| self.capture.poll_durable(lsn, waker));
    }

    fn take_landing(&self) -> Landing {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self
            .returned
            .wait_while(idle, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let mut previous = idle.pop().flatten();
        drop(idle);
        block_on(|waker| {
            match self
                .capture
                .landing(previous.take(), self.request_bytes_max, waker)
            {
                Ok(landing) => Poll::Ready(landing),
                Err(wait) => {
                    previous = wait.0;
                    Poll::Pending
                }
            }
        })
    }

    fn put_landing(&self, landing: Landing) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Some(landing));
        self.returned.notify_one();
    }
}

impl<D: BlockDevice> BlockDevice for MirroredDevice<D> {
    fn size(&self) -> ByteLen {
        self.device.size()
    }

    fn block_size(&self) -> u32 {
        self.device.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.device.read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        let mut offset = offset;
        for piece in data.chunks(self.request_bytes_max) {
            let len = ByteLen(piece.len() as u64);
            self.write_piece(&Request::write(offset, len), piece)?;
            offset = ByteOffset(offset.get() + len.get());
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        let operation = Operation::WriteZeroes { unmap };
        let request = Request {
            operation,
            ..Request::write(offset, len)
        };
        self.change(&request, |device| device.write_zeroes(offset, len, unmap))
    }

    fn discard(&self, offset: ByteOffset, len: ByteLen) -> io::Result<()> {
        let request = Request {
            operation: Operation::Discard,
            ..Request::write(offset, len)
        };
        self.change(&request, |device| device.discard(offset, len))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(&Request::flush(), BlockDevice::sync)
    }
}

/// Asks again whenever the waker was woken, until there is an answer.
fn block_on<T>(mut ask: impl FnMut(&Waker) -> Poll<T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    // a call that is answered at once, nearly always, allocates nothing
    if let Poll::Ready(answer) = ask(Waker::noop()) {
        return answer;
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match ask(&waker) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

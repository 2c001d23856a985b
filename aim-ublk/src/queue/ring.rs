//! The ring of a queue thread, and what its tasks have in it.
//!
//! A task has at most one operation in the ring. So a completion needs to say nothing but whose
//! it is, and neither entries nor results ever lack room.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use io_uring::squeue::Entry;
use io_uring::{EnterFlags, IoUring};
use libublk::io::{ublk_init_task_ring, with_task_io_ring_mut};
use libublk::sys::UBLK_IO_RES_ABORT;

use crate::error::into_io;

/// Marks a completion as that of a command to the ublk driver; the task's number is below it.
const COMMAND: u64 = 1 << 32;

/// The ring of this thread. The library finds the kernel's end of it by itself, so there is one
/// per thread.
#[derive(Debug)]
pub(super) struct Ring {
    /// By task.
    results: Box<[Cell<Option<i32>>]>,
    stopping: Cell<bool>,
    start: Instant,
    /// Nanoseconds since the start.
    now: Cell<u64>,
}

impl Ring {
    /// Makes the ring of a fresh thread, for `tasks` tasks.
    ///
    /// # Errors
    ///
    /// What the kernel says; also if the thread has one already.
    pub(super) fn make(tasks: usize) -> io::Result<Self> {
        let entries = tasks.next_power_of_two() as u32;
        let ring = build(entries)?;
        let mut made = Some(RefCell::new(ring));
        ublk_init_task_ring(|cell| {
            if let Some(ring) = made.take() {
                // a thread that has one keeps it, and `made` is not used up
                made = cell.set(ring).err();
            }
            Ok(())
        })
        .map_err(into_io)?;
        if made.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self {
            results: (0..tasks).map(|_| Cell::new(None)).collect(),
            stopping: Cell::new(false),
            start: Instant::now(),
            now: Cell::new(0),
        })
    }

    /// Queues a command to the driver as the one operation of `task`. The next turn submits it.
    ///
    /// # Safety
    ///
    /// As for [`submit`](Self::submit).
    pub(super) unsafe fn command(&self, task: usize, entry: Entry) -> Operation<'_> {
        // SAFETY: as promised by the caller.
        unsafe { self.push(task, entry.user_data(COMMAND | task as u64)) }
    }

    /// Queues an entry as the one operation of `task`. The next turn submits it.
    ///
    /// # Safety
    ///
    /// What the entry points to must be valid until the operation has ended, even where what is
    /// returned here is dropped before.
    pub(super) unsafe fn submit(&self, task: usize, entry: Entry) -> Operation<'_> {
        // SAFETY: as promised by the caller.
        unsafe { self.push(task, entry.user_data(task as u64)) }
    }

    unsafe fn push(&self, task: usize, entry: Entry) -> Operation<'_> {
        let result = &self.results[task];
        // SAFETY: as promised by the callers of the two above.
        let pushed = with_task_io_ring_mut(|ring| unsafe { ring.submission().push(&entry) });
        // can't lack room: see above
        result.set(pushed.is_err().then_some(-libc::EIO));
        Operation { result }
    }

    /// Submits what is queued, waits until `events` operations have ended, and notes in `due`
    /// the tasks whose have.
    ///
    /// # Errors
    ///
    /// Only what makes the ring useless.
    pub(super) fn turn(&self, events: usize, due: &mut Vec<usize>) -> io::Result<()> {
        with_task_io_ring_mut(|ring| {
            match enter(ring, events) {
                Ok(()) => {}
                // a signal, or completions to be taken first
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                Err(error) => return Err(error),
            }
            for ended in ring.completion() {
                let (data, result) = (ended.user_data(), ended.result());
                if data & COMMAND != 0 && result == UBLK_IO_RES_ABORT {
                    self.stopping.set(true);
                }
                let task = (data & !COMMAND) as usize;
                self.results[task].set(Some(result));
                due.push(task);
            }
            Ok(())
        })?;
        // enough for 500 years
        self.now.set(self.start.elapsed().as_nanos() as u64);
        Ok(())
    }

    /// Whether the driver takes the device away: it has given back a command.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// When the last turn was, in nanoseconds since the ring was made: all that comes in one turn
    /// has one time, so that it costs little.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }
}

/// Makes a ring that brings completions only when this thread asks for them, and whose entries
/// need no index; what the kernel does not know of that (before 6.6, and before 6.1) is left out.
fn build(entries: u32) -> io::Result<IoUring> {
    let sized = || {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(entries * 2);
        builder
    };
    let deferring = || {
        let mut builder = sized();
        builder.setup_single_issuer().setup_defer_taskrun();
        builder
    };
    let is_unknown = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
    match deferring().setup_no_sqarray().build(entries) {
        Err(error) if is_unknown(&error) => {}
        built => return built,
    }
    match deferring().build(entries) {
        Err(error) if is_unknown(&error) => sized().setup_coop_taskrun().build(entries),
        built => built,
    }
}

/// Submits what is queued, and waits for `events` completions. Even with none it has the kernel
/// bring those that are due.
fn enter(ring: &mut IoUring, events: usize) -> io::Result<()> {
    let queued = ring.submission().len() as u32;
    let flags = EnterFlags::GETEVENTS.bits();
    // SAFETY: no argument is passed that could be invalid; the entries are their owners' matter.
    let entered = unsafe {
        ring.submitter()
            .enter::<libc::sigset_t>(queued, events as u32, flags, None)
    };
    entered.map(drop)
}

/// What a task waits for.
#[derive(Debug)]
#[must_use = "an operation goes on in the ring"]
pub(super) struct Operation<'r> {
    result: &'r Cell<Option<i32>>,
}

impl Future for Operation<'_> {
    type Output = i32;

    /// The ring itself names the task when its operation has ended: nobody needs the waker.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<i32> {
        match self.result.get() {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use io_uring::{opcode, types};

    use super::*;

    fn result_of(mut operation: Operation<'_>) -> Option<i32> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut operation).poll(&mut context) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    #[test]
    fn each_task_gets_the_end_of_its_own_operation() {
        let ring = Ring::make(5).unwrap();
        let nop = || opcode::Nop::new().build();
        let nowhere = opcode::Fsync::new(types::Fd(-1)).build();
        // SAFETY: none of them points to anything.
        let operations = unsafe { [ring.submit(4, nop()), ring.submit(1, nowhere)] };
        let mut due = Vec::new();
        ring.turn(2, &mut due).unwrap();
        due.sort_unstable();
        assert_eq!(due, [1, 4]);
        assert_eq!(operations.map(result_of), [Some(0), Some(-libc::EBADF)]);
        assert!(!ring.is_stopping());
        // SAFETY: as above.
        let next = unsafe { ring.submit(4, nop()) };
        assert_eq!(
            result_of(next),
            None,
            "what has ended before is not its result"
        );
        due.clear();
        ring.turn(1, &mut due).unwrap();
        assert_eq!(due, [4]);
    }

    #[test]
    fn a_thread_has_one_ring() {
        Ring::make(1).unwrap();
        let second = Ring::make(1).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
    }
}

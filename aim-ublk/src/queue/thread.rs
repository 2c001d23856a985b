//! The thread that runs a queue.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

use aim_core::intercept::Interceptor;
use io_uring::{opcode, types};
use libublk::ctrl::UblkCtrl;
use libublk::io::{UblkDev, UblkQueue};

use super::command::Commands;
use super::disk::Disk;
use super::executor::{Executor, ReadySet};
use super::fixed::Fixed;
use super::ring::Ring;
use super::tag::{self, Slot, Slots};
use crate::config::ReadPath;
use crate::control::Message;
use crate::error::into_io;
use crate::latencies::Recorders;

/// What a queue thread works on.
pub(crate) struct Queue {
    pub(crate) number: u16,
    /// Which of the threads that share the queue.
    pub(crate) share: u16,
    /// Request slots of the queue.
    pub(crate) depth: u16,
    pub(crate) interceptor: Arc<dyn Interceptor>,
    /// Index of the device in its volume.
    pub(crate) device: u16,
    /// Size of the device in bytes.
    pub(crate) size: u64,
    /// How the data of reads gets to who asks for it.
    pub(crate) reads: ReadPath,
    pub(crate) recorders: Recorders,
    /// What it has to wait for; where nobody gives orders any more, it ends.
    pub(crate) orders: Receiver<Order>,
    /// Where it reports how far it is, that it failed, and that it has ended.
    pub(crate) reports: Sender<Message>,
}

/// What a queue thread is told to do next.
pub(crate) enum Order {
    /// Open its queue of this device.
    SetUp(Arc<UblkDev>),
    /// Hand the slots to the driver, and serve what comes.
    Fetch,
}

/// How far the start of a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The thread has what it needs, but for the device.
    Prepared,
    /// Its queue is open.
    SetUp,
    /// All slots are with the driver.
    Fetching,
}

/// Why a queue can't go on: what failed, and how.
pub(crate) type Failure = (&'static str, io::Error);

/// Starts the thread of a queue. It reports each [`Stage`] that it comes to, or
/// [`Message::QueueFailed`], and in the end [`Message::QueueEnded`].
pub(crate) fn spawn(name: &str, queue: Queue) -> io::Result<JoinHandle<()>> {
    let name = match queue.share {
        0 => format!("{name}-q{}", queue.number),
        share => format!("{name}-q{}.{share}", queue.number),
    };
    thread::Builder::new().name(name).spawn(move || {
        // nobody could say any more where the kernel still writes: better a crash, which
        // capture survives, than a device that serves from freed memory
        let _abort = AbortOnPanic;
        if let Err((operation, source)) = run(&queue) {
            fail(&queue, operation, source);
        }
        report(&queue, Message::QueueEnded(queue.number));
    })
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("a queue thread panicked");
            std::process::abort();
        }
    }
}

fn report(queue: &Queue, message: Message) {
    if queue.reports.send(message).is_err() {
        tracing::debug!(queue = queue.number, "nobody listens to the queue any more");
    }
}

fn reach(queue: &Queue, stage: Stage, thread: libc::pid_t) {
    let number = queue.number;
    report(queue, Message::QueueReached(number, stage, thread));
}

fn fail(queue: &Queue, operation: &'static str, source: io::Error) {
    tracing::error!(queue = queue.number, error = %source, "queue failed: {operation}");
    let number = queue.number;
    report(queue, Message::QueueFailed(number, (operation, source)));
}

fn run(queue: &Queue) -> Result<(), Failure> {
    let thread = UblkCtrl::init_queue_thread();
    assert_io_flusher().map_err(|e| ("become exempt from writeback (PR_SET_IO_FLUSHER)", e))?;
    // one for each slot, and one that listens
    let tasks = usize::from(queue.depth) + 1;
    let ring = Ring::make(tasks).map_err(|e| ("make its ring", e))?;
    // SAFETY: the interceptor is alive, and so is its memory.
    let register = |requests| unsafe { Fixed::register(queue.interceptor.memory(), requests) };
    let fixed = match queue.reads {
        ReadPath::Copy => register(0),
        // behind the requests, for which the library makes room below
        ReadPath::ZeroCopy => Fixed::default(),
    };
    reach(queue, Stage::Prepared, thread);
    let Ok(Order::SetUp(dev)) = queue.orders.recv() else {
        return Ok(());
    };
    let ublk = UblkQueue::new_for_thread(queue.number, &dev, queue.share)
        .map_err(|e| ("set up", into_io(e)))?;
    let fixed = match queue.reads {
        ReadPath::Copy => fixed,
        ReadPath::ZeroCopy => register(queue.depth),
    };
    let slots = Slots {
        queue: &ublk,
        ring: &ring,
        // SAFETY: the device holds the file open, and outlives this.
        control: unsafe { BorrowedFd::borrow_raw(dev.tgt.fds[0]) },
        commands: Commands::new(queue.number, &dev.dev_info),
        interceptor: &*queue.interceptor,
        disk: Disk::new(&ring, fixed),
        recorders: &queue.recorders,
        device: queue.device,
        size: queue.size,
        capacity: dev.dev_info.max_io_buf_bytes as usize,
    };
    let (closing, failure) = (Cell::new(false), RefCell::new(None));
    let tags: Vec<u16> = ublk.tags().collect();
    let mut executor = Executor::new(tags.len() + 1, |task, ready| {
        let (slots, closing, failure) = (&slots, &closing, &failure);
        let (tag, ready) = (tags.get(task).copied(), Arc::clone(ready));
        async move {
            match tag.map(|tag| Slot { tag, task }) {
                Some(slot) => {
                    if let Err(error) = tag::serve(slots, slot).await {
                        failure.borrow_mut().get_or_insert(error);
                    }
                }
                None => listen(slots.ring, task, &ready, closing).await,
            }
        }
    })
    .map_err(|e| ("make an event file", e.into()))?;
    // everything is put into the ring, and the kernel sees none of it yet
    executor.run(&mut Vec::new());
    // the library waits for buffers that it knows; requests land in ours
    dev.notify_buffer_registration_complete(false);
    reach(queue, Stage::SetUp, thread);
    let Ok(Order::Fetch) = queue.orders.recv() else {
        return Ok(());
    };
    let outcome = drive(queue, &ring, &mut executor, thread, &closing, &failure);
    if outcome.is_err() {
        // the ring may still write to memory of the tasks and of the landings that they hold
        std::mem::forget(executor);
        std::mem::forget(Arc::clone(&queue.interceptor));
        std::mem::forget(slots);
    }
    outcome
}

/// Runs the tasks: first until every fetch is with the driver, then until the device is stopped.
fn drive<F: Future<Output = ()>>(
    queue: &Queue,
    ring: &Ring,
    executor: &mut Executor<F>,
    thread: libc::pid_t,
    closing: &Cell<bool>,
    failure: &RefCell<Option<io::Error>>,
) -> Result<(), Failure> {
    let failed = |error| ("wait for requests", error);
    let mut due = Vec::with_capacity(executor.unfinished());
    // a fetch that the driver refuses comes back at once; the device would never start
    ring.turn(0, &mut due).map_err(failed)?;
    executor.run(&mut due);
    if let Some(error) = failure.take() {
        return Err(("fetch requests", error));
    }
    reach(queue, Stage::Fetching, thread);
    // the one that listens goes on to the end
    while executor.unfinished() > 1 {
        executor
            .sleep(|events| ring.turn(events, &mut due))
            .map_err(failed)?;
        executor.run(&mut due);
        if let Some(error) = failure.take() {
            // the kernel gives back what this thread still owes when its ring is closed
            return Err(("commit a request", error));
        }
    }
    // the ring must not be left with a read into a task that is gone
    closing.set(true);
    executor.ready().ring_bell();
    while executor.unfinished() > 0 {
        ring.turn(1, &mut due).map_err(failed)?;
        executor.run(&mut due);
    }
    Ok(())
}

/// Keeps a read of the event file in the ring, so that a waker can end the thread's sleep.
async fn listen(ring: &Ring, task: usize, ready: &ReadySet, closing: &Cell<bool>) {
    let event = types::Fd(ready.event());
    let mut count = [0_u8; 8];
    while !closing.get() {
        let entry = opcode::Read::new(event, count.as_mut_ptr(), count.len() as u32).build();
        // SAFETY: the bytes are this task's own; who drops it before the end keeps it.
        let read = unsafe { ring.submit(task, entry) }.await;
        if read < 0 {
            // can't be: the file is open and never full; without it wake-ups would be lost
            panic!(
                "reading an event file: {}",
                io::Error::from_raw_os_error(-read)
            );
        }
    }
}

/// Memory reclaim must not make this thread wait for writes that it has to serve itself.
fn assert_io_flusher() -> io::Result<()> {
    // linux/prctl.h
    const PR_GET_IO_FLUSHER: i32 = 58;
    // SAFETY: this option reads a flag of the calling thread and takes no pointers.
    match unsafe { libc::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) } {
        1 => Ok(()),
        0 => Err(io::Error::from_raw_os_error(libc::EPERM)),
        _ => Err(io::Error::last_os_error()),
    }
}

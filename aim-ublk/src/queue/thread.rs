//! The thread that runs a queue.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

use aim_core::intercept::Interceptor;
use io_uring::{IoUring, opcode, types};
use libublk::ctrl::UblkCtrl;
use libublk::helpers::IoBuf;
use libublk::io::{UblkDev, UblkQueue, ublk_init_task_ring, with_task_io_ring_mut};
use libublk::uring_async::{ublk_reap_io_events_with_update_queue, ublk_wake_task};

use super::disk::{self, Disk};
use super::executor::{Executor, ReadySet};
use super::tag::{self, Slots};
use crate::control::Message;
use crate::error::into_io;

/// What a queue thread works on.
pub(crate) struct Queue {
    pub(crate) number: u16,
    /// Request slots.
    pub(crate) depth: u16,
    pub(crate) interceptor: Arc<dyn Interceptor>,
    /// Index of the device in its volume.
    pub(crate) device: u16,
    /// Size of the device in bytes.
    pub(crate) size: u64,
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
    let name = format!("{name}-q{}", queue.number);
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
    make_ring(queue.depth).map_err(|e| ("make its ring", e))?;
    reach(queue, Stage::Prepared, thread);
    let Ok(Order::SetUp(dev)) = queue.orders.recv() else {
        return Ok(());
    };
    let ublk = UblkQueue::new(queue.number, &dev).map_err(|e| ("set up", into_io(e)))?;
    let slots = Slots {
        queue: &ublk,
        interceptor: &*queue.interceptor,
        disk: Disk::default(),
        registered: IoBuf::new(4096),
        device: queue.device,
        size: queue.size,
        capacity: dev.dev_info.max_io_buf_bytes as usize,
    };
    let closing = Cell::new(false);
    let failure = RefCell::new(None);
    let tags: Vec<u16> = ublk.tags().collect();
    let bell = tags.len();
    let mut executor = Executor::new(tags.len() + 1, |ready| {
        let (slots, closing, failure) = (&slots, &closing, &failure);
        let serve = move |tag| {
            Box::pin(async move {
                if let Err(error) = tag::serve(slots, tag).await {
                    failure.borrow_mut().get_or_insert(error);
                }
            }) as Pin<Box<dyn Future<Output = ()> + '_>>
        };
        let listen = Box::pin(listen(ready, closing)) as Pin<Box<dyn Future<Output = ()> + '_>>;
        tags.clone()
            .into_iter()
            .map(serve)
            .chain(std::iter::once(listen))
    })
    .map_err(|e| ("make an event file", e.into()))?;
    // everything is put into the ring, and the kernel sees none of it yet
    executor.run_ready();
    reach(queue, Stage::SetUp, thread);
    let Ok(Order::Fetch) = queue.orders.recv() else {
        return Ok(());
    };
    let outcome = drive(
        queue,
        &ublk,
        &mut executor,
        thread,
        bell,
        &closing,
        &failure,
    );
    if outcome.is_err() {
        // the ring may still write to memory of the tasks and of the landings that they hold
        std::mem::forget(executor);
        std::mem::forget(Arc::clone(&queue.interceptor));
        std::mem::forget(slots);
    }
    outcome
}

/// Makes the ring of this thread, which the library then finds.
fn make_ring(depth: u16) -> io::Result<()> {
    let entries = super::ring_entries(depth);
    let ring = IoUring::builder()
        .setup_cqsize(u32::from(entries) * 2)
        .setup_coop_taskrun()
        .build(entries.into())?;
    ublk_init_task_ring(|cell| {
        // a fresh thread has none
        let _ = cell.set(RefCell::new(ring));
        Ok(())
    })
    .map_err(into_io)
}

/// Runs the tasks: first until every fetch is with the driver, then until the device is stopped.
fn drive(
    queue: &Queue,
    ublk: &UblkQueue<'_>,
    executor: &mut Executor<'_>,
    thread: libc::pid_t,
    bell: usize,
    closing: &Cell<bool>,
    failure: &RefCell<Option<io::Error>>,
) -> Result<(), Failure> {
    // a fetch that the driver refuses comes back at once; the device would never start
    turn(ublk, |wait| wait(0))?;
    executor.run_ready();
    if let Some(error) = failure.take() {
        return Err(("fetch requests", error));
    }
    reach(queue, Stage::Fetching, thread);
    while !(0..bell).all(|task| executor.is_finished(task)) {
        turn(ublk, |wait| executor.sleep(wait))?;
        executor.run_ready();
        if let Some(error) = failure.take() {
            // the kernel gives back what this thread still owes when its ring is closed
            return Err(("commit a request", error));
        }
    }
    // the ring must not be left with a read into a task that is gone
    closing.set(true);
    executor.ready().ring_bell();
    while !executor.is_finished(bell) {
        turn(ublk, |wait| wait(1))?;
        executor.run_ready();
    }
    Ok(())
}

/// Submits what is queued, waits for as many completions as `sleep` says, and wakes the tasks
/// that waited for those that came.
fn turn(
    ublk: &UblkQueue<'_>,
    sleep: impl FnOnce(&mut dyn FnMut(usize) -> io::Result<usize>) -> io::Result<usize>,
) -> Result<(), Failure> {
    let entered = with_task_io_ring_mut(|ring| sleep(&mut |events| ring.submit_and_wait(events)));
    match entered {
        Ok(_) => {}
        // a signal, or completions to be taken first
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
        Err(error) => return Err(("wait for requests", error)),
    }
    ublk_reap_io_events_with_update_queue(ublk, false, None, |cqe| {
        ublk_wake_task(cqe.user_data(), cqe);
    })
    .map(drop)
    .map_err(|e| ("take completions", into_io(e)))
}

/// Keeps a read of the event file in the ring, so that a waker can end the thread's sleep.
async fn listen(ready: Arc<ReadySet>, closing: &Cell<bool>) {
    let event = types::Fd(ready.event());
    let mut count = [0_u8; 8];
    while !closing.get() {
        let entry = opcode::Read::new(event, count.as_mut_ptr(), count.len() as u32).build();
        if let Err(errno) = disk::submit(entry).await {
            // can't be: the file is open and never full; without it wake-ups would be lost
            panic!("reading an event file: {errno}");
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

//! Runs the tasks of one queue on its thread, and lets wakers of other threads reach it there.
//!
//! A task is woken by setting its bit. The thread sleeps only in its ring; before it does, it
//! says so (`sleeping`) and looks at the bits once more. A waker sets its bit and then looks at
//! `sleeping`: whichever comes second sees the other, so that no wake-up is lost, and only a
//! waker that meets a sleeping thread pays a system call. That one writes to an event file which
//! the ring always reads.

use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};

use rustix::event::EventfdFlags;
use rustix::io::Errno;

const BITS: usize = u64::BITS as usize;

/// Which tasks can go on, and how to wake the thread that runs them.
#[derive(Debug)]
pub(super) struct ReadySet {
    words: Box<[AtomicU64]>,
    sleeping: AtomicBool,
    event: OwnedFd,
}

impl ReadySet {
    /// All `tasks` are ready at first.
    fn new(tasks: usize) -> Result<Self, Errno> {
        let words = (0..tasks.div_ceil(BITS)).map(|_| AtomicU64::new(u64::MAX));
        Ok(Self {
            words: words.collect(),
            sleeping: AtomicBool::new(false),
            event: rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?,
        })
    }

    fn insert(&self, task: usize) {
        let bit = 1 << (task % BITS);
        self.words[task / BITS].fetch_or(bit, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.ring_bell();
        }
    }

    fn is_empty(&self) -> bool {
        let mut words = self.words.iter();
        words.all(|word| word.load(Ordering::SeqCst) == 0)
    }

    /// Completes the ring's pending read of the event file.
    pub(super) fn ring_bell(&self) {
        #[expect(clippy::host_endian_bytes, reason = "an event file counts natively")]
        let one = 1_u64.to_ne_bytes();
        // it blocks only at 2^64 - 2 wake-ups that nobody has read
        if let Err(error) = rustix::io::retry_on_intr(|| rustix::io::write(&self.event, &one)) {
            tracing::error!(%error, "cannot wake a queue thread");
        }
    }

    /// The event file that the ring has to read.
    pub(super) fn event(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

struct TaskWaker {
    ready: Arc<ReadySet>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.insert(self.task);
    }
}

/// A fixed set of tasks of one kind, all made before the first runs: none is allocated later.
pub(super) struct Executor<F> {
    tasks: Vec<Option<Pin<Box<F>>>>,
    wakers: Vec<Waker>,
    ready: Arc<ReadySet>,
    unfinished: usize,
}

impl<F: Future<Output = ()>> Executor<F> {
    /// An executor for `count` tasks that `make` builds, given what wakes the thread.
    pub(super) fn new(
        count: usize,
        mut make: impl FnMut(usize, &Arc<ReadySet>) -> F,
    ) -> Result<Self, Errno> {
        let ready = Arc::new(ReadySet::new(count)?);
        let wakers = (0..count).map(|task| {
            Waker::from(Arc::new(TaskWaker {
                ready: Arc::clone(&ready),
                task,
            }))
        });
        Ok(Self {
            wakers: wakers.collect(),
            tasks: (0..count)
                .map(|task| Some(Box::pin(make(task, &ready))))
                .collect(),
            ready,
            unfinished: count,
        })
    }

    /// Polls the tasks in `due`, which it empties, and then those that wakers name, until none
    /// can go on.
    pub(super) fn run(&mut self, due: &mut Vec<usize>) {
        for task in due.drain(..) {
            self.poll(task);
        }
        while !self.ready.is_empty() {
            for index in 0..self.ready.words.len() {
                let mut bits = self.ready.words[index].swap(0, Ordering::SeqCst);
                while bits != 0 {
                    self.poll(index * BITS + bits.trailing_zeros() as usize);
                    bits &= bits - 1;
                }
            }
        }
    }

    fn poll(&mut self, index: usize) {
        let Some(slot) = self.tasks.get_mut(index) else {
            return;
        };
        if let Some(task) = slot
            && task
                .as_mut()
                .poll(&mut Context::from_waker(&self.wakers[index]))
                .is_ready()
        {
            *slot = None;
            self.unfinished -= 1;
        }
    }

    /// Calls `wait` with the number of events that it may sleep for: 1, or 0 if a task became
    /// ready meanwhile. Wakers that come while it sleeps ring the bell.
    pub(super) fn sleep<T>(&self, wait: impl FnOnce(usize) -> T) -> T {
        self.ready.sleeping.store(true, Ordering::SeqCst);
        let events = usize::from(self.ready.is_empty());
        let outcome = wait(events);
        self.ready.sleeping.store(false, Ordering::Relaxed);
        outcome
    }

    /// How many tasks have not run to their end.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(super) fn ready(&self) -> &ReadySet {
        &self.ready
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::task::Poll;
    use std::thread;

    use super::*;

    /// Sleeps in a plain read of the event file, as the ring would.
    fn wait(ready: &ReadySet, events: usize) {
        if events > 0 {
            rustix::io::read(&ready.event, &mut [0_u8; 8]).unwrap();
        }
    }

    #[test]
    fn wakers_of_other_threads_are_never_lost() {
        const TASKS: usize = 70;
        const ROUNDS: u32 = 2_000;
        let (send, receive) = mpsc::channel::<(usize, Waker)>();
        let waking = thread::spawn(move || {
            for (_, waker) in receive {
                waker.wake();
            }
        });
        let finished = Cell::new(0);
        let mut executor = Executor::new(TASKS, |task, _| {
            let (send, finished) = (send.clone(), &finished);
            async move {
                for _ in 0..ROUNDS {
                    let mut asked = false;
                    poll_fn(|cx| {
                        if asked {
                            return Poll::Ready(());
                        }
                        asked = true;
                        send.send((task, cx.waker().clone())).unwrap();
                        Poll::Pending
                    })
                    .await;
                }
                finished.set(finished.get() + 1);
            }
        })
        .unwrap();
        loop {
            executor.run(&mut Vec::new());
            if executor.unfinished() == 0 {
                break;
            }
            executor.sleep(|events| wait(executor.ready(), events));
        }
        drop(executor);
        drop(send);
        waking.join().unwrap();
        assert_eq!(finished.get(), TASKS);
    }

    #[test]
    fn a_task_that_wakes_itself_runs_again_without_the_bell() {
        let polls = Cell::new(0);
        let mut executor = Executor::new(1, |_, _| {
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                cx.waker().wake_by_ref();
                if polls.get() == 3 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        })
        .unwrap();
        executor.run(&mut Vec::new());
        assert_eq!(executor.unfinished(), 0);
        assert_eq!(polls.get(), 3);
    }
}

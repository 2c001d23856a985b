//! The threads of all queues of a device, led through the steps of a start together.
//!
//! Between its first fetch and the last one of all queues a device is neither its old server's
//! nor ours: a driver before 6.15 can't give it to anybody else if we die then. So whatever can
//! fail or takes long is done before, and all queues fetch at one word.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use libublk::io::UblkDev;

use super::thread::{Failure, Order, Queue, Stage, spawn};
use crate::control::Message;

/// The threads of a device: as many for each queue as share it.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    threads: Vec<JoinHandle<()>>,
    orders: Vec<Sender<Order>>,
    /// Queue and thread.
    numbers: Vec<(u16, libc::pid_t)>,
    is_fetching: bool,
}

/// Which queue can't go on, and why.
pub(crate) type QueueFailure = (u16, Failure);

impl Crew {
    /// Starts `shares` threads for each of `queues`, up to where they need the device.
    pub(crate) fn hire(
        name: &str,
        queues: u16,
        shares: u16,
        inbox: &Receiver<Message>,
        mut queue: impl FnMut(u16, u16, Receiver<Order>) -> Queue,
    ) -> Result<Self, QueueFailure> {
        let mut crew = Self::default();
        for (number, share) in
            (0..queues).flat_map(|number| (0..shares).map(move |share| (number, share)))
        {
            let (order, orders) = channel();
            let thread = spawn(name, queue(number, share, orders))
                .map_err(|error| (number, ("start the thread", error)))?;
            crew.threads.push(thread);
            crew.orders.push(order);
        }
        crew.numbers = crew.wait(inbox, Stage::Prepared)?;
        Ok(crew)
    }

    /// Each thread: its queue, and its number.
    pub(crate) fn numbers(&self) -> &[(u16, libc::pid_t)] {
        &self.numbers
    }

    /// Opens the queues of the device.
    pub(crate) fn set_up(
        &self,
        dev: &Arc<UblkDev>,
        inbox: &Receiver<Message>,
    ) -> Result<(), QueueFailure> {
        self.order(|| Order::SetUp(Arc::clone(dev)));
        self.wait(inbox, Stage::SetUp).map(drop)
    }

    /// Has every slot of every queue fetch a request.
    pub(crate) fn fetch(&mut self, inbox: &Receiver<Message>) -> Result<(), QueueFailure> {
        self.is_fetching = true;
        self.order(|| Order::Fetch);
        self.wait(inbox, Stage::Fetching).map(drop)
    }

    /// Whether the kernel may know of requests that the threads owe it.
    pub(crate) fn is_fetching(&self) -> bool {
        self.is_fetching
    }

    /// Waits for the end of the threads: for those that don't fetch it has come.
    pub(crate) fn join(self) {
        drop(self.orders);
        for thread in self.threads {
            // a panic in a queue thread ends the process
            let _ = thread.join();
        }
    }

    fn order(&self, order: impl Fn() -> Order) {
        for queue in &self.orders {
            // one that has ended has said why, or will
            let _ = queue.send(order());
        }
    }

    /// Waits until every queue is there, or one of them fails.
    fn wait(
        &self,
        inbox: &Receiver<Message>,
        stage: Stage,
    ) -> Result<Vec<(u16, libc::pid_t)>, QueueFailure> {
        let threads = self.threads.iter();
        threads
            .map(|_| match inbox.recv() {
                Ok(Message::QueueReached(queue, reached, thread)) if reached == stage => {
                    Ok((queue, thread))
                }
                Ok(Message::QueueFailed(queue, failure)) => Err((queue, failure)),
                // nobody has a handle yet that could stop it, and an end follows a failure
                _ => unreachable!("a queue that neither came to {stage:?} nor failed"),
            })
            .collect()
    }
}

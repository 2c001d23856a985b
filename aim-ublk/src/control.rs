//! The thread that has a device started, and takes it away again.
//!
//! Control commands block: a start until the kernel has looked for partitions, a stop until all
//! requests in flight are answered. The queue threads go on meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use aim_core::intercept::Interceptor;
use libublk::UblkError;
use libublk::ctrl::UblkCtrl;
use libublk::io::UblkDev;

use crate::backing::Backing;
use crate::config::{DeviceConfig, ReadPath};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::latencies::LatencyReader;
use crate::leftover;
use crate::link::Link;
use crate::queue::{Crew, Failure, QueueFailure, Stage};
use crate::start::bring_up;
use crate::users::{self, Claim};

/// What the control thread hears.
pub(crate) enum Message {
    /// The queue has come so far in its start; the number is its thread's.
    QueueReached(u16, Stage, libc::pid_t),
    /// The queue can't go on.
    QueueFailed(u16, Failure),
    /// The queue's thread ends.
    QueueEnded(u16),
    /// Stop the device; even one that is in use with `force`.
    Stop {
        force: bool,
        reply: Sender<Result<()>>,
    },
}

/// What a device is started from.
pub(crate) struct Plan {
    pub(crate) config: DeviceConfig,
    pub(crate) backing: Arc<Backing>,
    pub(crate) interceptor: Arc<dyn Interceptor>,
    /// Index of the device in its volume.
    pub(crate) index: u16,
}

/// A device that is live.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) path: PathBuf,
    pub(crate) node: PathBuf,
    pub(crate) id: u32,
    pub(crate) queues: u16,
    pub(crate) threads_per_queue: u16,
    pub(crate) read_path: ReadPath,
    pub(crate) latencies: LatencyReader,
    /// It was there already, and waited for a server.
    pub(crate) taken_over: bool,
    /// The driver keeps it for a successor when this process ends.
    pub(crate) outlives_its_process: bool,
}

/// Runs a device from start to end. Says how the start went through `started`; what it returns
/// is how the device ended.
pub(crate) fn run(
    plan: Plan,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
    started: &Sender<Result<Started>>,
) -> Result<()> {
    let (device, live) = match bring_up(plan, inbox, reports) {
        Ok(up) => up,
        Err(error) => {
            answer(started, Err(error));
            return Ok(());
        }
    };
    answer(started, Ok(live));
    // one sender is ours, so this ends only from within
    while let Ok(message) = inbox.recv() {
        match message {
            Message::QueueReached(..) => {}
            Message::Stop { force, reply } => match device.claim(force) {
                Ok(claim) => {
                    answer(&reply, device.take_down(claim));
                    return Ok(());
                }
                Err(error) => answer(&reply, Err(error)),
            },
            Message::QueueFailed(queue, failure) => return Err(device.give_up((queue, failure))),
            Message::QueueEnded(queue) => {
                let ended = std::io::Error::other("stopped by somebody else");
                return Err(device.give_up((queue, ("serve requests", ended))));
            }
        }
    }
    device.take_down(None)
}

fn answer<T>(to: &Sender<T>, value: T) {
    if to.send(value).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

/// A device in the driver, with its threads.
pub(crate) struct Device {
    pub(crate) plan: Plan,
    pub(crate) ctrl: UblkCtrl,
    pub(crate) dev: Arc<UblkDev>,
    pub(crate) crew: Crew,
    pub(crate) link: Option<Link>,
    pub(crate) node: PathBuf,
    pub(crate) latencies: LatencyReader,
}

impl Device {
    pub(crate) fn new(
        plan: Plan,
        ctrl: UblkCtrl,
        dev: UblkDev,
        crew: Crew,
        latencies: LatencyReader,
    ) -> Self {
        Self {
            node: PathBuf::from(ctrl.get_bdev_path()),
            plan,
            ctrl,
            dev: Arc::new(dev),
            crew,
            link: None,
            latencies,
        }
    }

    /// The exclusive claim without which a device is only stopped by force. It keeps others from
    /// mounting what is about to go.
    fn claim(&self, force: bool) -> Result<Option<Claim>> {
        match users::claim(&self.node) {
            Ok(claim) => Ok(Some(claim)),
            Err(Error::InUse { path, users }) if force => {
                // The driver refuses what its users still have to write once it stops a device
                // that a successor could take over.
                users::write_back(&self.node, &users);
                let error = Error::InUse { path, users };
                tracing::warn!(%error, "stopping all the same");
                Ok(None)
            }
            Err(error @ Error::InUse { .. }) => Err(error),
            // somebody else has removed it
            Err(error) => {
                tracing::warn!(%error, "cannot ask who uses the device");
                Ok(None)
            }
        }
    }

    /// Lets requests in flight finish, ends the threads and removes the device.
    pub(crate) fn take_down(mut self, claim: Option<Claim>) -> Result<()> {
        if let Some(link) = self.link.take() {
            link.remove();
        }
        let stopped = self.ctrl.stop_dev();
        if let Err(error) = stopped {
            // without it the threads would be waited for in vain
            return Err(self.control_error("stop", error));
        }
        let Self {
            plan,
            ctrl,
            dev,
            crew,
            ..
        } = self;
        crew.join();
        // each holds a reference to the device
        drop((dev, claim));
        // waits for nobody who still has the dead device open; the driver frees its number later
        ctrl.del_dev_async()
            .map_err(|e| Error::control("delete", &plan.config.name, e))?;
        tracing::info!(device = %plan.config.name, "device stopped");
        Ok(())
    }

    /// Ends the service of a device with a queue that has ended, and says why. A device that is
    /// gone is cleared away; one that a successor can take over is left to it.
    fn give_up(self, failure: QueueFailure) -> Error {
        let error = Error::queue(&self.plan.config.name, failure);
        if self.has_a_disk() {
            let device = self.node.clone();
            self.leave();
            return Error::LeftBehind {
                device,
                source: Box::new(error),
            };
        }
        match self.take_down(None) {
            Ok(()) => error,
            Err(second) => second,
        }
    }

    /// Whether the driver still has the disk, and can give it to another process.
    fn has_a_disk(&self) -> bool {
        let id = self.dev.dev_info.dev_id;
        matches!(Driver::open(), Ok(Some(driver)) if leftover::outlives_its_server(&driver, id))
    }

    /// Leaves the device as it is. Those threads that serve it go on. Its requests wait from the
    /// moment on that this process ends, or executes another program, until a successor takes it
    /// over.
    pub(crate) fn leave(self) {
        let Self {
            ctrl, dev, crew, ..
        } = self;
        ctrl.disown();
        match crew.is_fetching() {
            true => std::mem::forget((dev, crew)),
            // nothing is in the driver's hands: another start may come before that end
            false => crew.join(),
        }
    }

    pub(crate) fn control_error(&self, command: &'static str, error: UblkError) -> Error {
        Error::control(command, &self.plan.config.name, error)
    }
}

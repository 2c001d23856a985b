//! The thread that adds a device to the driver, starts it, and takes it away again.
//!
//! Control commands block: a start until the kernel has looked for partitions, a stop until all
//! requests in flight are answered. The queue threads go on meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aim_core::intercept::Interceptor;
use libublk::ctrl::{UblkCtrl, UblkCtrlBuilder};
use libublk::io::UblkDev;
use libublk::{UblkError, UblkFlags};

use crate::backing::Backing;
use crate::config::DeviceConfig;
use crate::error::{Error, Result, into_io};
use crate::link::{self, Link};
use crate::queue::{self, Failure, Queue};
use crate::users::{self, Claim};
use crate::{kernel, leftover, params};

/// How long a device node may take to appear, and a device number to become free again.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);

/// What the control thread hears.
pub(crate) enum Message {
    /// The queue has all its fetches with the driver; the number is its thread's.
    QueueReady(u16, libc::pid_t),
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
}

/// Runs a device from start to end. Says how the start went through `started`; what it returns
/// is how the device ended.
pub(crate) fn run(
    plan: Plan,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
    started: &Sender<Result<Started>>,
) -> Result<()> {
    let (device, live) = match Device::bring_up(plan, inbox, reports) {
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
            Message::QueueReady(..) => {}
            Message::Stop { force, reply } => match device.claim(force) {
                Ok(claim) => {
                    answer(&reply, device.take_down(claim));
                    return Ok(());
                }
                Err(error) => answer(&reply, Err(error)),
            },
            Message::QueueFailed(queue, failure) => {
                let error = device.queue_error(queue, failure);
                device.take_down(None)?;
                return Err(error);
            }
            Message::QueueEnded(queue) => {
                let ended = std::io::Error::other("stopped by somebody else");
                let error = device.queue_error(queue, ("serve requests", ended));
                device.take_down(None)?;
                return Err(error);
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
struct Device {
    plan: Plan,
    ctrl: UblkCtrl,
    dev: Arc<UblkDev>,
    threads: Vec<JoinHandle<()>>,
    link: Option<Link>,
    node: PathBuf,
}

impl Device {
    fn bring_up(
        plan: Plan,
        inbox: &Receiver<Message>,
        reports: &Sender<Message>,
    ) -> Result<(Self, Started)> {
        let features = kernel::features()?;
        leftover::remove(&plan.config.name)?;
        let ctrl = add(&plan.config)?;
        let dev = make(&plan, &ctrl)?;
        let mut device = Self {
            node: PathBuf::from(ctrl.get_bdev_path()),
            plan,
            ctrl,
            dev: Arc::new(dev),
            threads: Vec::new(),
            link: None,
        };
        match device.start(inbox, reports) {
            Ok(started) => {
                tracing::info!(
                    device = %started.path.display(),
                    node = %started.node.display(),
                    backing = %device.plan.backing.path().display(),
                    queues = started.queues,
                    driver = format_args!("{:#x}", features.bits()),
                    "device started"
                );
                Ok((device, started))
            }
            Err(error) => {
                if let Err(second) = device.take_down(None) {
                    tracing::warn!(error = %second, "a device that failed to start stays behind");
                }
                Err(error)
            }
        }
    }

    fn start(&mut self, inbox: &Receiver<Message>, reports: &Sender<Message>) -> Result<Started> {
        let queues = self.dev.dev_info.nr_hw_queues;
        for number in 0..queues {
            let queue = Queue {
                number,
                dev: Arc::clone(&self.dev),
                interceptor: Arc::clone(&self.plan.interceptor),
                device: self.plan.index,
                size: self.plan.backing.size().get(),
                reports: reports.clone(),
            };
            let name = format!("ublk{}", self.dev.dev_info.dev_id);
            let thread = queue::spawn(&name, queue)
                .map_err(|e| self.queue_error(number, ("start the thread", e)))?;
            self.threads.push(thread);
        }
        for _ in 0..queues {
            match inbox.recv() {
                Ok(Message::QueueReady(queue, thread)) => {
                    self.ctrl.set_thread_affinity(queue, thread);
                    self.ctrl
                        .configure_queue(&self.dev, queue, thread)
                        .map_err(|e| self.control_error("describe a queue", e))?;
                }
                Ok(Message::QueueFailed(queue, failure)) => {
                    return Err(self.queue_error(queue, failure));
                }
                // nobody has a handle yet that could stop it, and an end follows a failure
                _ => unreachable!("a queue that neither started nor failed"),
            }
        }
        match self.ctrl.start_dev(&self.dev) {
            Ok(code) if code >= 0 => {}
            Ok(code) => return Err(self.control_error("start", UblkError::OtherError(code))),
            Err(error) => return Err(self.control_error("start", error)),
        }
        wait_for(&self.node)?;
        self.set_scheduler();
        let directory = Path::new(link::DIRECTORY);
        let link = Link::make(directory, &self.plan.config.name, &self.node)?;
        let path = link.path().to_owned();
        self.link = Some(link);
        Ok(Started {
            path,
            node: self.node.clone(),
            id: self.dev.dev_info.dev_id,
            queues,
        })
    }

    /// Requests are sorted and merged once, by the disk behind: twice only costs.
    fn set_scheduler(&self) {
        let Some(name) = self.node.file_name() else {
            return;
        };
        let scheduler = Path::new("/sys/block").join(name).join("queue/scheduler");
        if let Err(error) = fs::write(&scheduler, "none") {
            tracing::warn!(path = %scheduler.display(), %error, "cannot turn off the scheduler");
        }
    }

    /// The exclusive claim without which a device is only stopped by force. It keeps others from
    /// mounting what is about to go.
    fn claim(&self, force: bool) -> Result<Option<Claim>> {
        match users::claim(&self.node) {
            Ok(claim) => Ok(Some(claim)),
            Err(error @ Error::InUse { .. }) if force => {
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
    fn take_down(mut self, claim: Option<Claim>) -> Result<()> {
        if let Some(link) = self.link.take() {
            link.remove();
        }
        let stopped = self.ctrl.stop_dev();
        if let Err(error) = stopped {
            // without it the threads would be waited for in vain
            return Err(self.control_error("stop", error));
        }
        for thread in self.threads.drain(..) {
            // a panic in a queue thread ends the process
            let _ = thread.join();
        }
        let Self {
            plan, ctrl, dev, ..
        } = self;
        // each holds a reference to the device
        drop((dev, claim));
        // waits for nobody who still has the dead device open; the driver frees its number later
        ctrl.del_dev_async()
            .map_err(|e| Error::control("delete", &plan.config.name, e))?;
        tracing::info!(device = %plan.config.name, "device stopped");
        Ok(())
    }

    fn control_error(&self, command: &'static str, error: UblkError) -> Error {
        Error::control(command, &self.plan.config.name, error)
    }

    fn queue_error(&self, queue: u16, (operation, source): Failure) -> Error {
        Error::Queue {
            device: self.plan.config.name.clone(),
            queue,
            operation,
            source,
        }
    }
}

/// Adds the device to the driver. A number asked for may still belong to a device that was
/// deleted a moment ago.
fn add(config: &DeviceConfig) -> Result<UblkCtrl> {
    let id = match config.id {
        None => -1,
        Some(id) => i32::try_from(id).map_err(|_| Error::InvalidConfig {
            field: "id",
            value: id.to_string(),
            reason: "must be less than 2147483648",
        })?,
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let added = UblkCtrlBuilder::default()
            .name(&config.name)
            .id(id)
            .nr_queues(config.queues)
            .depth(config.depth)
            .io_buf_bytes(config.max_request_bytes)
            .ctrl_target_flags(leftover::mark(&config.name))
            .dev_flags(UblkFlags::UBLK_DEV_F_ADD_DEV)
            .build();
        match added {
            Ok(ctrl) => return Ok(ctrl),
            Err(_) if id >= 0 && Instant::now() < deadline => thread::sleep(RETRY),
            Err(error) => {
                // the library asks again in an older way and reports that answer
                let taken = Path::new(&format!("/sys/class/ublk-char/ublkc{id}")).exists();
                let error = if taken {
                    UblkError::OtherError(-libc::EEXIST)
                } else {
                    error
                };
                return Err(Error::control("add", &config.name, error));
            }
        }
    }
}

/// Opens the added device, with the parameters of the disk behind it.
fn make(plan: &Plan, ctrl: &UblkCtrl) -> Result<UblkDev> {
    let backing = &plan.backing;
    let size = backing.size().get();
    let depth = plan.config.depth;
    UblkDev::new(
        plan.config.name.clone(),
        |dev| {
            dev.tgt.dev_size = size;
            dev.tgt.params = params::params(size, backing.limits(), plan.config.max_request_bytes);
            dev.tgt.fds[queue::DISK_SLOT] = std::os::fd::AsRawFd::as_raw_fd(&**backing);
            dev.tgt.nr_fds = 2;
            // each slot has one entry at a time in the ring, and there is the event file
            dev.tgt.sq_depth = (depth + 1).next_power_of_two();
            dev.tgt.cq_depth = dev.tgt.sq_depth * 2;
            Ok(())
        },
        ctrl,
    )
    .map_err(|e| Error::io("open", ctrl.get_cdev_path(), into_io(e)))
}

fn wait_for(node: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::metadata(node) {
            Ok(_) => return Ok(()),
            Err(_) if Instant::now() < deadline => thread::sleep(RETRY),
            Err(error) => return Err(Error::io("find", node, error)),
        }
    }
}

//! Brings a device up: a fresh one, or one that waits for a server.
//!
//! ```text
//! fresh:    add ─────────────┐
//!                            ├─ open ─ set up queues ─ fetch ─ start, or end the recovery
//! waiting:  start recovery ──┘
//! ```
//!
//! A fresh device that can't be started is removed. One that waited goes on waiting.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use libublk::ctrl::{UblkCtrl, UblkCtrlBuilder};
use libublk::io::UblkDev;
use libublk::{UblkError, UblkFlags, sys};

use crate::config::{DeviceConfig, ReadPath};
use crate::control::{Device, Message, Plan, Started};
use crate::driver::Driver;
use crate::error::{Error, Result, into_io};
use crate::kernel::{self, Features};
use crate::latencies::{LatencyReader, Recorders};
use crate::leftover::{self, Waiting};
use crate::link::{self, Link};
use crate::params;
use crate::queue::{self, Crew, Queue, QueueFailure};

/// How long a device node may take to appear, and a device number to become free again.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);

/// Starts the device that `plan` tells of, on the one of its name that waits, if there is one.
pub(crate) fn bring_up(
    plan: Plan,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
) -> Result<(Device, Started)> {
    let features = kernel::features()?;
    let driver = Driver::open()?.ok_or(Error::NoDriver)?;
    let mut plan = plan;
    fit(&mut plan.config, features);
    let (device, started) = match leftover::find(&driver, &plan.config.name)? {
        None => bring_up_fresh(plan, features, inbox, reports)?,
        Some(waiting) => {
            let (name, node) = (plan.config.name.clone(), waiting.node());
            tracing::info!(name, node = %node.display(), "taking over the device");
            take_over(plan, &driver, &waiting, inbox, reports).map_err(|source| {
                Error::NotTakenOver {
                    name,
                    device: node,
                    source: Box::new(source),
                }
            })?
        }
    };
    tracing::info!(
        device = %started.path.display(),
        node = %started.node.display(),
        backing = %device.plan.backing.path().display(),
        queues = started.queues,
        reads = ?started.read_path,
        driver = format_args!("{:#x}", features.bits()),
        taken_over = started.taken_over,
        "device started"
    );
    Ok((device, started))
}

/// Leaves out what the kernel can't do, and says so.
fn fit(config: &mut DeviceConfig, features: Features) {
    let name = &config.name;
    if config.threads_per_queue > 1 && !features.threads_per_queue() {
        tracing::warn!(name, "this kernel has one thread per queue");
        config.threads_per_queue = 1;
    }
    if config.read_path == ReadPath::ZeroCopy && !features.zero_copy_reads() {
        tracing::warn!(name, "this kernel has no zero-copy reads: they are copied");
        config.read_path = ReadPath::Copy;
    }
    // one without a slot would have nothing to do
    config.threads_per_queue = config.threads_per_queue.min(config.depth);
}

fn bring_up_fresh(
    plan: Plan,
    features: Features,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
) -> Result<(Device, Started)> {
    let ctrl = add(&plan.config, features)?;
    let (crew, latencies) = hire(&plan, &ctrl, inbox, reports)?;
    let dev = open(&plan, &ctrl)?;
    let mut device = Device::new(plan, ctrl, dev, crew, latencies);
    let outcome = device.serve(inbox).and_then(|()| device.publish(false));
    match outcome {
        Ok(started) => Ok((device, started)),
        Err(error) => {
            if let Err(second) = device.take_down(None) {
                tracing::warn!(error = %second, "a device that failed to start stays behind");
            }
            Err(error)
        }
    }
}

fn take_over(
    plan: Plan,
    driver: &Driver,
    waiting: &Waiting,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
) -> Result<(Device, Started)> {
    check_fits(&plan, waiting)?;
    let ctrl = find(&plan.config, waiting)?;
    let (crew, latencies) = hire(&plan, &ctrl, inbox, reports)?;
    let (name, failed) = (plan.config.name.clone(), "start the recovery of");
    if let Err(source) = waiting.start_recovery(driver) {
        crew.join();
        return Err(Error::driver(failed, &name, source));
    }
    let dev = open(&plan, &ctrl)?;
    let mut device = Device::new(plan, ctrl, dev, crew, latencies);
    match device.serve(inbox).and_then(|()| device.publish(true)) {
        Ok(started) => Ok((device, started)),
        Err(error) => {
            device.leave();
            Err(error)
        }
    }
}

/// Whether the disk is the waiting device's, and the interceptor has room for what it may send.
fn check_fits(plan: &Plan, waiting: &Waiting) -> Result<()> {
    let (backing, config) = (&plan.backing, &plan.config);
    let differs = |what, device: u64, here: u64| {
        Err(Error::Differs {
            what,
            device,
            configured: here,
        })
    };
    if waiting.size != backing.size().get() {
        return differs("size in bytes", waiting.size, backing.size().get());
    }
    let block = u64::from(backing.limits().logical_block);
    if !waiting.block.is_multiple_of(block) {
        return differs("logical block", waiting.block, block);
    }
    let slots = usize::from(waiting.queues) * usize::from(waiting.depth);
    if slots > config.landings() {
        return differs("request slots", slots as u64, config.landings() as u64);
    }
    if waiting.max_request_bytes > config.max_request_bytes {
        let (theirs, ours) = (waiting.max_request_bytes, config.max_request_bytes);
        return differs("largest request", theirs.into(), ours.into());
    }
    Ok(())
}

fn hire(
    plan: &Plan,
    ctrl: &UblkCtrl,
    inbox: &Receiver<Message>,
    reports: &Sender<Message>,
) -> Result<(Crew, LatencyReader)> {
    let info = ctrl.dev_info();
    let name = format!("ublk{}", info.dev_id);
    let (queues, shares) = (info.nr_hw_queues, ctrl.io_threads_per_queue());
    let threads = usize::from(queues) * usize::from(shares);
    let recorders: Vec<_> = (0..threads).map(|_| Recorders::default()).collect();
    let latencies = Recorders::reader(&recorders);
    let mut recorders = recorders.into_iter();
    let crew = Crew::hire(&name, queues, shares, inbox, |number, share, orders| {
        Queue {
            number,
            share,
            depth: info.queue_depth,
            interceptor: Arc::clone(&plan.interceptor),
            device: plan.index,
            size: plan.backing.size().get(),
            reads: ReadPath::of(&info),
            recorders: recorders.next().unwrap_or_default(),
            orders,
            reports: reports.clone(),
        }
    })
    .map_err(|failure| Error::queue(&plan.config.name, failure))?;
    Ok((crew, latencies))
}

impl Device {
    /// Has the queues serve, and makes the device live.
    fn serve(&mut self, inbox: &Receiver<Message>) -> Result<()> {
        let name = &self.plan.config.name;
        let failed = |failure: QueueFailure| Error::queue(name, failure);
        self.crew.set_up(&self.dev, inbox).map_err(failed)?;
        self.crew.fetch(inbox).map_err(failed)?;
        for &(queue, thread) in self.crew.numbers() {
            self.ctrl.set_thread_affinity(queue, thread);
            self.ctrl
                .configure_queue(&self.dev, queue, thread)
                .map_err(|e| self.control_error("describe a queue", e))?;
        }
        match self.ctrl.start_dev(&self.dev) {
            Ok(code) if code >= 0 => {
                // from here on only `take_down` removes it
                self.ctrl.disown();
                Ok(())
            }
            Ok(code) => Err(self.control_error("start", UblkError::OtherError(code))),
            Err(error) => Err(self.control_error("start", error)),
        }
    }

    /// Gives the live device its name.
    fn publish(&mut self, taken_over: bool) -> Result<Started> {
        wait_for(&self.node)?;
        self.set_scheduler();
        let directory = Path::new(link::DIRECTORY);
        let link = Link::make(directory, &self.plan.config.name, &self.node)?;
        let path = link.path().to_owned();
        self.link = Some(link);
        let info = &self.dev.dev_info;
        Ok(Started {
            path,
            node: self.node.clone(),
            id: info.dev_id,
            queues: info.nr_hw_queues,
            threads_per_queue: self.ctrl.io_threads_per_queue(),
            read_path: ReadPath::of(info),
            latencies: self.latencies.clone(),
            taken_over,
            outlives_its_process: info.flags & u64::from(sys::UBLK_F_USER_RECOVERY) != 0,
        })
    }

    /// Requests are sorted and merged once, by the disk behind: twice only costs.
    fn set_scheduler(&self) {
        let Some(name) = self.node.file_name() else {
            return;
        };
        let scheduler = Path::new("/sys/block").join(name).join("queue/scheduler");
        // a change waits for all requests in flight: not without need
        if fs::read_to_string(&scheduler).is_ok_and(|found| found.contains("[none]")) {
            return;
        }
        if let Err(error) = fs::write(&scheduler, "none") {
            tracing::warn!(path = %scheduler.display(), %error, "cannot turn off the scheduler");
        }
    }
}

/// Adds the device to the driver. A number asked for may still belong to a device that was
/// deleted a moment ago.
fn add(config: &DeviceConfig, features: Features) -> Result<UblkCtrl> {
    let id = match config.id {
        None => -1,
        Some(id) => i32::try_from(id).map_err(|_| Error::InvalidConfig {
            field: "id",
            value: id.to_string(),
            reason: "must be less than 2147483648",
        })?,
    };
    let mut flags = match features.recovery_with_reissue() {
        true => sys::UBLK_F_USER_RECOVERY | sys::UBLK_F_USER_RECOVERY_REISSUE,
        false => 0,
    };
    if config.read_path == ReadPath::ZeroCopy {
        flags |= sys::UBLK_F_SUPPORT_ZERO_COPY | sys::UBLK_F_AUTO_BUF_REG | sys::UBLK_F_USER_COPY;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let added = UblkCtrlBuilder::default()
            .name(&config.name)
            .id(id)
            .nr_queues(config.queues)
            .depth(config.depth)
            .io_buf_bytes(config.max_request_bytes)
            .ctrl_flags(flags.into())
            .ctrl_target_flags(leftover::mark(&config.name))
            .io_threads_per_queue(config.threads_per_queue)
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

/// The control of a device that waits; dropping it changes nothing about the device.
fn find(config: &DeviceConfig, waiting: &Waiting) -> Result<UblkCtrl> {
    let failed = |error| Error::control("find", &config.name, error);
    let id = i32::try_from(waiting.id).map_err(|_| failed(UblkError::OtherError(-libc::EINVAL)))?;
    UblkCtrlBuilder::default()
        .name(&config.name)
        .id(id)
        .nr_queues(waiting.queues)
        .depth(waiting.depth)
        .io_buf_bytes(waiting.max_request_bytes)
        .io_threads_per_queue(config.threads_per_queue.min(waiting.depth))
        .dev_flags(UblkFlags::UBLK_DEV_F_RECOVER_DEV)
        .build()
        .map_err(failed)
}

/// Opens the device, with the parameters of the disk behind it; one that was live keeps its own.
fn open(plan: &Plan, ctrl: &UblkCtrl) -> Result<UblkDev> {
    let backing = &plan.backing;
    let size = backing.size().get();
    let entries = queue::ring_entries(ctrl.dev_info().queue_depth);
    UblkDev::new(
        plan.config.name.clone(),
        |dev| {
            dev.tgt.dev_size = size;
            dev.tgt.params = params::params(size, backing.limits(), plan.config.max_request_bytes);
            dev.tgt.fds[queue::DISK_SLOT] = std::os::fd::AsRawFd::as_raw_fd(&**backing);
            dev.tgt.nr_fds = 2;
            dev.tgt.sq_depth = entries;
            dev.tgt.cq_depth = entries * 2;
            Ok(())
        },
        ctrl,
    )
    .map_err(|e| Error::io("open", PathBuf::from(ctrl.get_cdev_path()), into_io(e)))
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

//! A running device, as its owner holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aim_core::intercept::Interceptor;
use aim_core::units::ByteLen;

use crate::backing::Backing;
use crate::config::{DeviceConfig, ReadPath};
use crate::control::{self, Message, Plan, Started};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::latencies::LatencyReader;
use crate::leftover::{self, Waiting};
use crate::link;

/// How long the last I/O of a killed predecessor may take to let go of the backing disk.
const BACKING_PATIENCE: Duration = Duration::from_secs(5);

/// Starts devices.
#[derive(Debug)]
pub struct UblkDevice;

impl UblkDevice {
    /// The device named `name` that has lost its server, if there is one: the next
    /// [`start`](Self::start) takes it over. Waits for the end of a server that was just killed.
    ///
    /// # Errors
    ///
    /// [`Error::NameInUse`] if a live device has the name, [`Error::Control`] if the driver can't
    /// be asked. Without the driver there is no such device.
    pub fn waiting(name: &str) -> Result<Option<Waiting>> {
        match Driver::open()? {
            Some(driver) => leftover::find(&driver, name),
            None => Ok(None),
        }
    }

    /// Takes away the device named `name` that has lost its server, where none will come: those
    /// who wait for it get I/O errors. Gives its node, or `None` if none waits.
    ///
    /// # Errors
    ///
    /// As for [`waiting`](Self::waiting).
    pub fn abandon(name: &str) -> Result<Option<PathBuf>> {
        let Some(driver) = Driver::open()? else {
            return Ok(None);
        };
        let Some(waiting) = leftover::find(&driver, name)? else {
            return Ok(None);
        };
        leftover::abandon(&driver, name, &waiting)?;
        link::remove(name, &waiting.node());
        Ok(Some(waiting.node()))
    }

    /// Opens the backing disk of `config` and starts a device in front of it, whose requests
    /// `interceptor` sees as those of device `index` of its volume.
    ///
    /// Returns when the device is live under its name; it runs on threads of its own. The kernel
    /// has then already read from it, looking for partitions.
    ///
    /// # Errors
    ///
    /// Whatever [`Error`] tells of the configuration, the backing disk, the driver or the name;
    /// nothing is left behind then. A device that waits for a server and can't be taken over
    /// ([`Error::NotTakenOver`]) goes on waiting.
    pub fn start(
        config: DeviceConfig,
        interceptor: Arc<dyn Interceptor>,
        index: u16,
    ) -> Result<RunningDevice> {
        config.check()?;
        let backing = Backing::open_within(&config.backing, BACKING_PATIENCE)?;
        Self::start_on(config, backing, interceptor, index)
    }

    /// As [`start`](Self::start), on a disk that is already open.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_on(
        config: DeviceConfig,
        backing: Backing,
        interceptor: Arc<dyn Interceptor>,
        index: u16,
    ) -> Result<RunningDevice> {
        config.check()?;
        let backing = Arc::new(backing);
        let (name, size) = (config.name.clone(), backing.size());
        let plan = Plan {
            config,
            backing,
            interceptor,
            index,
        };
        let (messages, inbox) = mpsc::channel();
        let (started, outcome) = mpsc::channel();
        let reports = messages.clone();
        let thread = thread::Builder::new()
            .name(format!("aim-{name}"))
            .spawn(move || control::run(plan, &inbox, &reports, &started))
            .map_err(|source| Error::io("start a thread for", &name, source))?;
        let stopper = Stopper { messages };
        match outcome.recv() {
            Ok(Ok(started)) => Ok(RunningDevice {
                started,
                size,
                stopper,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(lost(&name)),
        }
    }
}

/// A live device. Dropping it stops it by force, unless in a panic: then it is left.
#[derive(Debug)]
pub struct RunningDevice {
    started: Started,
    size: ByteLen,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<()>>>,
}

impl RunningDevice {
    /// The stable name, `/dev/aim/NAME`.
    pub fn path(&self) -> &Path {
        &self.started.path
    }

    /// The device node behind it, `/dev/ublkbN`.
    pub fn node(&self) -> &Path {
        &self.started.node
    }

    /// The N of the node.
    pub fn id(&self) -> u32 {
        self.started.id
    }

    /// Queues that the kernel granted.
    pub fn queues(&self) -> u16 {
        self.started.queues
    }

    /// Threads that share each queue.
    pub fn threads_per_queue(&self) -> u16 {
        self.started.threads_per_queue
    }

    /// How the data of reads gets to who asks for it: as the device was made, whatever was asked
    /// for since.
    pub fn read_path(&self) -> ReadPath {
        self.started.read_path
    }

    /// What reads how long requests take.
    pub fn latencies(&self) -> LatencyReader {
        self.started.latencies.clone()
    }

    /// Size of the device in bytes.
    pub fn size(&self) -> ByteLen {
        self.size
    }

    /// A handle that can stop the device from any thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Whether it was there already, and waited for a server.
    pub fn was_taken_over(&self) -> bool {
        self.started.taken_over
    }

    /// Whether it waits for a successor when this process ends; else it ends with it.
    pub fn outlives_its_process(&self) -> bool {
        self.started.outlives_its_process
    }

    /// Lets go of the device without stopping it. It serves as long as this process does; then it
    /// waits for a successor.
    pub fn leave(mut self) {
        drop(self.thread.take());
    }

    /// Stops the device as [`Stopper::stop`] does.
    ///
    /// # Errors
    ///
    /// As for [`Stopper::stop`].
    pub fn stop(&self) -> Result<()> {
        self.stopper.stop()
    }

    /// Waits until the device has ended: because it was stopped, or because a queue failed.
    ///
    /// Its interceptor has been let go then.
    ///
    /// # Errors
    ///
    /// What made the device end, if nobody asked for it. After [`Error::LeftBehind`] it is still
    /// there, for a successor.
    pub fn wait(mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(lost(&self.started.path.display().to_string())),
            None => Ok(()),
        }
    }
}

impl Drop for RunningDevice {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            if thread::panicking() {
                return;
            }
            if let Err(error) = self.stopper.stop_by_force() {
                tracing::error!(%error, "the device stays behind");
            }
            let _ = thread.join();
        }
    }
}

/// Stops a device from any thread.
///
/// # What the kernel does
///
/// Once asked to stop, the driver removes the disk whether or not it is in use. Requests in
/// flight are answered first. A file system that is still mounted from it is synced and then
/// shut down: its users get I/O errors until it is unmounted. Whatever else has the device open
/// gets I/O errors, too. That is why [`stop`](Self::stop) asks first, as `losetup --detach` and
/// `dmsetup remove` do.
#[derive(Clone, Debug)]
pub struct Stopper {
    messages: Sender<Message>,
}

impl Stopper {
    /// Stops the device if nobody uses it: answers requests in flight, ends its threads, removes
    /// it and its name. Returns when that is done; at once if it had already ended.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] while it is mounted, held by another block device, swapped to, or open in
    /// another process. It goes on undisturbed then: ask again later.
    pub fn stop(&self) -> Result<()> {
        self.ask(false)
    }

    /// As [`stop`](Self::stop), whoever uses the device.
    ///
    /// # Errors
    ///
    /// [`Error::Control`] if the driver refuses.
    pub fn stop_by_force(&self) -> Result<()> {
        self.ask(true)
    }

    fn ask(&self, force: bool) -> Result<()> {
        let (reply, answer) = mpsc::channel();
        // where nobody hears or answers, the device has ended, and `wait` tells how
        if self.messages.send(Message::Stop { force, reply }).is_err() {
            return Ok(());
        }
        answer.recv().unwrap_or(Ok(()))
    }
}

fn lost(device: &str) -> Error {
    let panicked = std::io::Error::other("its control thread panicked");
    Error::io("run", PathBuf::from(device), panicked)
}

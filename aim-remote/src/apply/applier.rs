//! The coordinator itself: two threads.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aim_core::clock::{Clock, SystemClock};
use aim_core::device::BlockDevice;
use aim_core::spool::MirrorSpool;

use super::receive::Mirror;
use super::status::Inner;
use super::steps::Steps;
use super::{ApplyError, ApplyStatus};
use crate::coordinator::{Backoff, Signal, Trouble, watch};
use crate::relay::Relay;

/// How often a mirror looks, and how patient it is.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    /// Between two looks into `incoming/` where no notice of the file system comes.
    pub poll: Duration,
    /// How long a file in `incoming/` that is wrong must stay as it is before it is set aside: a
    /// mover may still be writing it. It takes two looks in any case.
    pub settle: Duration,
    /// Before the second try of something that failed.
    pub first_retry: Duration,
    /// The longest between two tries.
    pub last_retry: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            settle: Duration::from_secs(10),
            first_retry: Duration::from_millis(500),
            last_retry: Duration::from_secs(60),
        }
    }
}

/// The second coordinator of a mirror, running on threads of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Applier {
    mirror: Arc<Mirror>,
    threads: Vec<JoinHandle<()>>,
}

impl Applier {
    /// Starts receiving what arrives in `spool`, and applying it to `devices`, which are those
    /// of the volume in its order.
    ///
    /// # Errors
    ///
    /// If the cursor can't be read or the devices don't fit. Everything later is retried, and
    /// shows in the status.
    pub fn start(
        spool: MirrorSpool,
        devices: Vec<Arc<dyn BlockDevice>>,
        options: ApplyOptions,
    ) -> Result<Self, ApplyError> {
        Self::run(Steps::new(spool, devices, options.settle)?, options)
    }

    /// The same for a mirror that passes on what it receives, as
    /// [`Steps::relaying`](super::Steps::relaying) does.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_relaying(
        relay: &Arc<Relay>,
        devices: Vec<Arc<dyn BlockDevice>>,
        options: ApplyOptions,
    ) -> Result<Self, ApplyError> {
        Self::run(Steps::relaying(relay, devices, options.settle)?, options)
    }

    fn run(steps: Steps, options: ApplyOptions) -> Result<Self, ApplyError> {
        let Steps { mirror, mut replay } = steps;
        let mut applier = Self {
            mirror: Arc::clone(&mirror),
            threads: Vec::new(),
        };
        let receiver = Arc::clone(&mirror);
        applier.spawn("aim-receive", move || {
            let folder = receiver.spool.incoming_folder().path();
            let _watcher = watch(&folder, &receiver.arrived);
            let step = || receiver.receive().map(|()| false);
            go_round(&receiver, &receiver.arrived, options, RECEIVING, step);
        })?;
        applier.spawn("aim-apply", move || {
            // questions of the source arrive there
            let root = mirror.spool.root().path();
            let _watcher = watch(&root, &mirror.received);
            let step = || mirror.apply_next(&mut replay);
            go_round(&mirror, &mirror.received, options, APPLYING, step);
        })?;
        Ok(applier)
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), ApplyError> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body);
        let thread = thread.map_err(|source| ApplyError::Thread {
            name: name.to_owned(),
            source,
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// How it is going.
    pub fn status(&self) -> ApplyStatus {
        self.mirror.status()
    }

    /// Says that a file may have arrived. It is noticed without, only later.
    pub fn hint(&self) {
        self.mirror.arrived.hint();
    }

    /// Asks it to stop, without waiting. The file that is being applied is finished first, and the one
    /// behind it; a group is given up between two files, and done again after the next start.
    pub fn request_stop(&self) {
        self.mirror.arrived.stop();
        self.mirror.received.stop();
    }

    /// Stops it and waits until it has.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.request_stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the applier panicked");
            }
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.end();
    }
}

/// Which of the two threads it is.
struct Role {
    doing: &'static str,
    trouble: fn(&mut Inner) -> &mut Option<Trouble<ApplyError>>,
}

const RECEIVING: Role = Role {
    doing: "receiving",
    trouble: |status| &mut status.receive_trouble,
};

const APPLYING: Role = Role {
    doing: "applying",
    trouble: |status| &mut status.apply_trouble,
};

/// Repeats a step until stopped: at once while it says that there is more to do, else on a hint.
fn go_round(
    mirror: &Mirror,
    signal: &Signal,
    options: ApplyOptions,
    role: Role,
    mut step: impl FnMut() -> Result<bool, ApplyError>,
) {
    let mut backoff = Backoff::new(options.first_retry, options.last_retry);
    while !signal.is_stopped() {
        match step() {
            Ok(more) => {
                backoff.reset();
                let passed = (role.trouble)(&mut mirror.shared.lock()).take();
                if let Some(trouble) = passed {
                    tracing::info!(attempts = trouble.attempts, "{} goes on", role.doing);
                }
                if !more {
                    signal.wait(options.poll);
                }
            }
            Err(error) => {
                let delay = backoff.next();
                let (remedy, now) = (error.remedy(), SystemClock.now());
                let mut status = mirror.shared.lock();
                let trouble = (role.trouble)(&mut status);
                let after = Trouble::after(trouble.take(), error, remedy, now);
                tracing::warn!(
                    error = after.message(),
                    attempts = after.attempts,
                    retry_in = ?delay,
                    "{} has stopped", role.doing
                );
                *trouble = Some(after);
                drop(status);
                signal.pause(delay);
            }
        }
    }
}

//! One running volume: device, capture and shippers.
//!
//! ```text
//! start:  journal folder ── backing disk ── capture ── device ── shipper
//! stop:   device ── capture (drain, seal, sync) ── shipper
//! ```
//!
//! A device that has lost its server, in whichever way, is taken over by the start: it waits until
//! the capture has drained what that server left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use aim_core::capture::{Capture, CaptureState, CaptureStatus};

use aim_core::spool::SourceSpool;
use aim_remote::ship::Retention;

use aim_ublk::{Error as UblkError, RunningDevice, Stopper};

use super::device_report::DeviceWatch;
use super::reminder::Reminder;
use super::repair::Repair;
use super::report::{BaselineReport, State, TargetReport, VerifyReport, VolumeReport};
use super::resync::ResyncMeter;
use super::start;
use super::targets::{Targets, named};
use crate::config::VolumeConfig;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem, one_line};
use crate::state;

/// A volume whose device is live.
#[derive(Debug)]
pub(crate) struct Volume {
    name: String,
    path: PathBuf,
    outlives_its_process: bool,
    watch: DeviceWatch,
    pub(super) spool: SourceSpool,
    pub(super) capture: Arc<Capture>,
    stopper: Stopper,
    pub(super) targets: Targets,
    meters: Mutex<Meters>,
    pub(super) repair: Mutex<BTreeMap<String, Repair>>,
    life: Arc<Mutex<Life>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is known from having looked several times a second.
#[derive(Debug, Default)]
struct Meters {
    resync: ResyncMeter,
    passthrough: Reminder,
}

/// Where the device and its capture are in their life.
#[derive(Debug, Default)]
struct Life {
    stopping: bool,
    /// Set once the device is gone and the capture has ended.
    ended: Option<Result<(), String>>,
}

impl Volume {
    /// Starts everything of a volume.
    ///
    /// # Errors
    ///
    /// Whatever is in the way; nothing is left behind. A device that waits for a server goes on
    /// waiting.
    pub(crate) fn start(config: &VolumeConfig, run_dir: &std::path::Path) -> Outcome<Self> {
        let spool = start::spool(config)?;
        let waiting = start::waiting(config)?;
        let config = &start::fit(config, waiting.as_ref());
        let backing = start::backing(config, spool.identity(), waiting.is_some())?;
        let reader = backing.reader().map_err(|error| {
            Problem::new("can't read the disk beside its device")
                .at(config.device.display())
                .because(&error)
                .exit(Exit::Failed)
        })?;
        let capture = start::capture(config, spool.clone(), reader, run_dir)?;
        let device = match start::device(config, backing, capture.clone()) {
            Ok(device) => device,
            Err(failure) => {
                // nothing was captured: there is nothing that could be lost
                if let Err(error) = capture.stop() {
                    tracing::error!(volume = config.name, %error, "the capture did not end cleanly");
                }
                return Err(failure);
            }
        };
        let retention = Retention::open(spool.clone(), named(&config.targets), &capture)
            .map_err(|error| state::spool_failed(&error))?;
        let room = config.journal_bytes;
        let targets = Targets::start(&config.name, &config.targets, retention, room)?;
        let (path, stopper) = (device.path().to_owned(), device.stopper());
        let outlives_its_process = device.outlives_its_process();
        let watch = DeviceWatch::of(&device);
        let life = Arc::new(Mutex::new(Life::default()));
        let thread = attend(&config.name, device, capture.clone(), life.clone())?;
        Ok(Self {
            name: config.name.clone(),
            path,
            outlives_its_process,
            watch,
            spool,
            capture,
            stopper,
            targets,
            meters: Mutex::default(),
            repair: Mutex::default(),
            life,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The path to use.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Whether its device waits for a successor once this process has ended.
    pub(crate) fn outlives_its_process(&self) -> bool {
        self.outlives_its_process
    }

    /// Samples what latency and speed are computed from, and repeats what must not be forgotten;
    /// to be called several times a second.
    pub(crate) fn sample(&self, now: Instant) {
        let capture = self.capture.status();

        let passthrough = match &capture.state {
            CaptureState::Passthrough { reason } => Some(reason),
            _ => None,
        };
        // what is lost is made good by a group, whose begin has the next LSN
        let newest = capture.captured.get() + u64::from(passthrough.is_some());
        self.targets.sample(now, newest);
        let mut meters = lock(&self.meters);
        meters.resync.sample(now, capture.resync);
        let reminded = meters.passthrough.sample(now, passthrough.is_some());
        if let (Some(lasted), Some(reason)) = (reminded, passthrough) {
            tracing::error!(
                volume = self.name,
                reason,
                minutes = lasted.as_secs() / 60,
                "still in passthrough: the disk goes on, capture does not, and the mirror stays behind"
            );
        }
    }

    /// How it is.
    pub(crate) fn report(&self) -> VolumeReport {
        let capture = self.capture.status();
        let now = Instant::now();
        let meters = lock(&self.meters);
        let targets = self.targets.reports(now, capture.sealed.is_start());
        let trouble = in_the_way(&targets);
        let (capturing, trouble) = state_of(&capture, trouble);
        let (state, error) = match self.life() {
            (_, Some(Err(error))) => (State::Failed, Some(error)),
            (_, Some(Ok(()))) => (State::Stopped, trouble),
            (true, None) => (State::Stopping, trouble),
            (false, None) => (capturing, trouble),
        };

        VolumeReport {
            name: self.name.clone(),
            state,
            device: Some(self.path.display().to_string()),
            captured_lsn: Some(capture.captured.get()),
            sealed_lsn: Some(capture.sealed.lsn.get()),
            shipped_lsn: least(&targets, |target| target.shipped_lsn),
            received_lsn: least(&targets, |target| target.received_lsn),
            applied_lsn: least(&targets, |target| target.applied_lsn),
            waiting_files: targets
                .iter()
                .filter_map(|target| target.waiting_files)
                .max(),
            waiting_bytes: targets
                .iter()
                .filter_map(|target| target.waiting_bytes)
                .max(),
            latency_seconds: (targets.iter().filter_map(|target| target.latency_seconds))
                .max_by(f64::total_cmp),
            rate_bytes_per_second: sum(&targets, |target| target.rate_bytes_per_second),
            seconds_left: longest(&targets),
            different_bytes: sum(&targets, |target| target.different_bytes),
            baseline: BaselineReport::of(self.capture.baselines().status()),
            io: Some(self.watch.report()),
            passthrough_seconds: meters
                .passthrough
                .lasted(now)
                .map(|time| time.as_secs_f64()),
            resync: capture.resync.map(|resync| meters.resync.report(resync)),
            verify: Some(VerifyReport::from(capture.verify)),

            hot_bytes: Some(capture.hot.get()),
            map_error: capture.map_trouble,
            last_error: error,
            targets,
        }
    }

    /// Asks the device to stop: gently where it must not be in use, or by force. Afterwards the
    /// capture ends by itself; [`has_ended`](Self::has_ended) says when.
    ///
    /// # Errors
    ///
    /// In one line, why it goes on; ask again later.
    pub(crate) fn stop_device(&self, force: bool) -> Result<(), String> {
        lock(&self.life).stopping = true;
        match force {
            true => self.stopper.stop_by_force(),
            false => self.stopper.stop(),
        }
        .map_err(|error| one_line(&error))
    }

    /// Whether device and capture have ended, well or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.life().1.is_some()
    }

    /// Whether the shipper may still get something done: there are files that the mirror host
    /// does not have, and nothing is in the way.
    pub(crate) fn is_shipping(&self) -> bool {
        let sealed = self.capture.status().sealed.lsn;
        self.targets.is_shipping(sealed.get())
    }

    /// Ends shipping, and waits for what has ended before.
    ///
    /// # Errors
    ///
    /// In one line, what went wrong with device or capture.
    pub(crate) fn finish(&self) -> Result<(), String> {
        self.targets.request_stop();
        if let Some(thread) = lock(&self.thread).take() {
            // a panic shows as an end without a result
            let _ = thread.join();
        }
        match self.life().1 {
            Some(outcome) => outcome,
            None => Err("its thread panicked".to_owned()),
        }
    }

    /// Refuses what makes no sense at its end.
    pub(super) fn require_running(&self) -> Result<(), String> {
        match self.life() {
            (false, None) => Ok(()),
            _ => Err(format!("volume {} is stopping", self.name)),
        }
    }

    fn life(&self) -> (bool, Option<Result<(), String>>) {
        let life = lock(&self.life);
        (life.stopping, life.ended.clone())
    }
}

/// The state of a volume that runs, and what is in the way.
fn state_of(capture: &CaptureStatus, shipping: Option<String>) -> (State, Option<String>) {
    match &capture.state {
        CaptureState::Passthrough { reason } => (State::Passthrough, Some(reason.clone())),
        CaptureState::Blocked { reason } => (State::Blocked, Some(reason.clone())),
        CaptureState::Capturing if shipping.is_some() => (State::Retrying, shipping),
        CaptureState::Capturing => (State::Running, None),
    }
}

/// What all targets have: the least of any; `None` while that of one is unknown.
fn least(targets: &[TargetReport], of: impl Fn(&TargetReport) -> Option<u64>) -> Option<u64> {
    let all: Option<Vec<u64>> = targets.iter().map(of).collect();
    all?.into_iter().min()
}

/// Until the last one has what is kept for it; `None` while that is unknown of one.
fn longest(targets: &[TargetReport]) -> Option<f64> {
    let all: Option<Vec<f64>> = targets.iter().map(|target| target.seconds_left).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

/// All together; `None` while one is unknown.
fn sum(targets: &[TargetReport], of: impl Fn(&TargetReport) -> Option<u64>) -> Option<u64> {
    targets.iter().map(of).sum()
}

/// What is in the way of targets, with their names where there are several.
pub(super) fn in_the_way(targets: &[TargetReport]) -> Option<String> {
    let of = |target: &TargetReport| {
        let error = match (&target.left_because, &target.last_error) {
            (Some(why), _) => format!("left behind: {why}"),
            (None, error) => error.clone()?,
        };
        Some(match targets.len() {
            1 => error,
            _ => format!("{}: {error}", target.name),
        })
    };
    let all: Vec<String> = targets.iter().filter_map(of).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Waits for the end of the device on a thread, then ends the capture: all is sealed then.
///
/// A device that can't be served any more, and is still there, ends the process: only another
/// one can take it over.
fn attend(
    name: &str,
    device: RunningDevice,
    capture: Arc<Capture>,
    life: Arc<Mutex<Life>>,
) -> Outcome<JoinHandle<()>> {
    let volume = name.to_owned();
    let attendant = move || {
        let device = device.wait();
        if let Err(error @ UblkError::LeftBehind { .. }) = &device {
            let error = one_line(error);
            tracing::error!(
                volume,
                error,
                "ending, so that the next start takes it over"
            );
            std::process::exit(Exit::Failed.number().into());
        }
        let device = device.map_err(|error| one_line(&error));
        let captured = capture.stop().map_err(|error| one_line(&error));
        let outcome = device.and(captured);
        match &outcome {
            Ok(()) => tracing::info!(volume, "stopped: everything captured is sealed"),
            Err(error) => tracing::error!(volume, error, "ended"),
        }
        lock(&life).ended = Some(outcome);
    };
    std::thread::Builder::new()
        .name(format!("aim-life-{name}"))
        .spawn(attendant)
        .map_err(|error| Problem::new("can't start a thread").io(&error))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

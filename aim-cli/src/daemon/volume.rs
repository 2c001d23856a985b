//! One running volume: device, capture and shipper.
//!
//! ```text
//! start:  journal folder ── backing disk ── capture ── device ── shipper
//! stop:   device ── capture (drain, seal, sync) ── shipper
//! ```
//!
//! A device that has lost its server, in whichever way, is taken over by the start: it waits until
//! the capture has drained what that server left.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use aim_core::capture::{Capture, CaptureState, CaptureStatus};
use aim_core::cursor::Position;
use aim_core::spool::SourceSpool;
use aim_remote::ship::{Rounds, ShipOptions, Shipper};
use aim_remote::transport::Transport;
use aim_ublk::{Error as UblkError, RunningDevice, Stopper};

use super::meter::Meter;
use super::reminder::Reminder;
use super::repair::Repair;
use super::report::{State, VerifyReport, VolumeReport};
use super::resync::ResyncMeter;
use super::start;
use crate::config::VolumeConfig;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem, one_line};
use crate::far::{Line, line, told};

/// A volume whose device is live.
#[derive(Debug)]
pub(crate) struct Volume {
    name: String,
    path: PathBuf,
    outlives_its_process: bool,
    pub(super) spool: SourceSpool,
    pub(super) capture: Arc<Capture>,
    stopper: Stopper,
    pub(super) shipper: Shipper,
    meters: Mutex<Meters>,
    pub(super) repair: Mutex<Repair>,
    life: Arc<Mutex<Life>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is known from having looked several times a second.
#[derive(Debug, Default)]
struct Meters {
    latency: Meter,
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
        let options = ShipOptions::default();
        let shipper = match line(config) {
            Line::Local(transport) => ship(config, &spool, transport, &capture, options),
            Line::Sftp(transport) => ship(config, &spool, transport, &capture, options),
        }
        .map_err(|error| {
            Problem::new("can't start shipping")
                .at(&config.name)
                .io(&error)
        })?;
        let (path, stopper) = (device.path().to_owned(), device.stopper());
        let outlives_its_process = device.outlives_its_process();
        let life = Arc::new(Mutex::new(Life::default()));
        let thread = attend(&config.name, device, capture.clone(), life.clone())?;
        Ok(Self {
            name: config.name.clone(),
            path,
            outlives_its_process,
            spool,
            capture,
            stopper,
            shipper,
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
        let applied = self.shipper.status().applied.lsn.get();
        let passthrough = match &capture.state {
            CaptureState::Passthrough { reason } => Some(reason),
            _ => None,
        };
        // what is lost is made good by a group, whose begin has the next LSN
        let newest = capture.captured.get() + u64::from(passthrough.is_some());
        let mut meters = lock(&self.meters);
        meters.latency.sample(now, newest, applied);
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
        let shipping = self.shipper.status();
        let now = Instant::now();
        let meters = lock(&self.meters);
        let trouble = shipping.trouble.as_ref().map(told);
        let (capturing, trouble) = state_of(&capture, trouble);
        let (state, error) = match self.life() {
            (_, Some(Err(error))) => (State::Failed, Some(error)),
            (_, Some(Ok(()))) => (State::Stopped, trouble),
            (true, None) => (State::Stopping, trouble),
            (false, None) => (capturing, trouble),
        };
        // after a start nothing is known of the mirror until it was reached once
        let asked = !shipping.shipped.is_start() || capture.sealed.is_start();
        VolumeReport {
            name: self.name.clone(),
            state,
            device: Some(self.path.display().to_string()),
            captured_lsn: Some(capture.captured.get()),
            sealed_lsn: Some(capture.sealed.lsn.get()),
            shipped_lsn: asked.then_some(shipping.shipped.lsn.get()),
            received_lsn: asked.then_some(shipping.received.lsn.get()),
            applied_lsn: asked.then_some(shipping.applied.lsn.get()),
            waiting_bytes: self.waiting_bytes(shipping.received),
            latency_seconds: Some(meters.latency.latency(now).as_secs_f64()),
            rate_bytes_per_second: Some(shipping.bytes_per_second),
            passthrough_seconds: meters
                .passthrough
                .lasted(now)
                .map(|time| time.as_secs_f64()),
            resync: capture.resync.map(|resync| meters.resync.report(resync)),
            verify: Some(VerifyReport::from(capture.verify)),
            different_bytes: shipping.differences.map(|found| found.bytes().get()),
            hot_bytes: Some(capture.hot.get()),
            map_error: capture.map_trouble,
            last_error: error,
        }
    }

    /// Bytes of sealed files that the mirror host does not have for sure.
    fn waiting_bytes(&self, received: Position) -> Option<u64> {
        let listing = self.spool.outgoing().ok()?;
        let waiting = listing
            .files
            .iter()
            .filter(|file| file.name.number > received.file);
        Some(waiting.map(|file| file.bytes).sum())
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
        let status = self.shipper.status();
        status.trouble.is_none() && status.shipped.lsn < self.capture.status().sealed.lsn
    }

    /// Ends shipping, and waits for what has ended before.
    ///
    /// # Errors
    ///
    /// In one line, what went wrong with device or capture.
    pub(crate) fn finish(&self) -> Result<(), String> {
        self.shipper.request_stop();
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

/// Starts the shipper, which also carries what the capture asks of the mirror.
fn ship<T: Transport>(
    config: &VolumeConfig,
    spool: &SourceSpool,
    transport: T,
    capture: &Capture,
    options: ShipOptions,
) -> std::io::Result<Shipper> {
    let rounds = Rounds::new(spool.clone(), transport)
        .over(config.line.options.clone())
        .comparing(capture.comparison());
    Shipper::go_round(rounds, options)
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

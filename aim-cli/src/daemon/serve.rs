//! All volumes and mirrors of a configuration, from start to stop.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use aim_core::clock::{Clock, SystemClock};
use aim_core::units::Timestamp;
use serde::Serialize;
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::mirror::Mirror;
use super::report::{DaemonReport, MirrorReport, Report, State, VolumeReport};
use super::request::Request;
use super::volume::Volume;
use crate::config::Config;
use crate::failure::Failure;
use crate::time::rfc3339;

/// Between two samples of the time latency, and between two tries to stop.
const TICK: Duration = Duration::from_millis(200);
/// How long a stop waits for files on their way, as long as nothing is in the way.
const SHIP_PATIENCE: Duration = Duration::from_secs(30);

/// Everything that runs, and what failed to start.
#[derive(Debug)]
pub(crate) struct Service {
    volumes: Vec<Slot<Volume, VolumeReport>>,
    mirrors: Vec<Slot<Mirror, MirrorReport>>,
    started: Timestamp,
}

#[derive(Debug)]
enum Slot<T, R> {
    Started(T),
    Failed(R),
}

impl Service {
    /// Starts what can be started; the rest is logged and shows in the report. The first failure
    /// comes back if nothing at all could be started.
    pub(crate) fn start(config: &Config) -> Result<Arc<Self>, Failure> {
        let mut failures = Vec::new();
        let mut mirrors = Vec::new();
        for mirror in config.mirrors.values() {
            mirrors.push(match Mirror::start(mirror) {
                Ok(started) => {
                    let (name, device) = (started.name(), started.device().display());
                    tracing::info!(mirror = name, device = %device, "ready");
                    Slot::Started(started)
                }
                Err(failure) => {
                    let error = note(&mirror.name, failure, &mut failures);
                    Slot::Failed(MirrorReport {
                        name: mirror.name.clone(),
                        state: State::Failed,
                        device: mirror.device.display().to_string(),
                        directory: mirror.directory.display().to_string(),
                        last_error: Some(error),
                        ..MirrorReport::default()
                    })
                }
            });
        }
        let mut volumes = Vec::new();
        for volume in config.volumes.values() {
            volumes.push(match Volume::start(volume, &config.run_dir) {
                Ok(started) => {
                    let (name, device) = (started.name(), started.path().display());
                    tracing::info!(volume = name, device = %device, "ready");
                    Slot::Started(started)
                }
                Err(failure) => Slot::Failed(VolumeReport {
                    name: volume.name.clone(),
                    state: State::Failed,
                    last_error: Some(note(&volume.name, failure, &mut failures)),
                    ..VolumeReport::default()
                }),
            });
        }
        match failures.len() == volumes.len() + mirrors.len() {
            true => Err(failures.swap_remove(0)),
            false => Ok(Arc::new(Self {
                volumes,
                mirrors,
                started: SystemClock.now(),
            })),
        }
    }

    /// Answers a request of the control socket.
    pub(crate) fn answer(&self, request: &Request) -> Result<Value, String> {
        match request {
            Request::Status => json(self.report()),
            Request::Sync {
                volume,
                all,
                target,
            } => json(self.volume(volume)?.sync(*all, target.as_deref())?),
            Request::Baseline { volume } => json(self.volume(volume)?.baseline()?),
            Request::Verify { volume, target } => {
                json(self.volume(volume)?.verify(target.as_deref())?)
            }
            Request::Differences { volume, target } => {
                json(self.volume(volume)?.different(target.as_deref())?)
            }
            Request::Upgrade => Err("only the program as a whole can be handed over".to_owned()),
        }
    }

    fn volume(&self, name: &str) -> Result<&Volume, String> {
        let found = self.volumes().find(|volume| volume.name() == name);
        found.ok_or_else(|| format!("volume {name} does not run here: see `aim status`"))
    }

    /// How everything is.
    pub(crate) fn report(&self) -> Report {
        Report {
            daemon: DaemonReport {
                running: true,
                pid: Some(std::process::id()),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                started: Some(rfc3339(self.started)),
            },
            volumes: self.volumes.iter().map(Slot::volume_report).collect(),
            mirrors: self.mirrors.iter().map(Slot::mirror_report).collect(),
        }
    }

    /// Runs until the next signal, and gives it.
    pub(crate) fn run(&self, signals: &Receiver<i32>) -> i32 {
        loop {
            match signals.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) => self.sample(),
                Ok(signal) => return signal,
                Err(RecvTimeoutError::Disconnected) => return SIGTERM,
            }
        }
    }

    /// The volumes whose devices are live.
    pub(crate) fn live_volumes(&self) -> Vec<&str> {
        let live = self.volumes().filter(|volume| !volume.has_ended());
        live.map(Volume::name).collect()
    }

    /// Whether every live device waits for a successor once this process has ended.
    pub(crate) fn outlives_its_process(&self) -> bool {
        let mut live = self.volumes().filter(|volume| !volume.has_ended());
        live.all(Volume::outlives_its_process)
    }

    /// Before a process ends whose devices a successor takes over.
    pub(crate) fn leave(&self) {
        for mirror in self.mirrors() {
            mirror.request_stop();
        }
        for volume in self.volumes() {
            tracing::info!(
                volume = volume.name(),
                device = %volume.path().display(),
                "left: what uses it waits for the next start"
            );
        }
    }

    /// Stops everything in order. A further signal takes devices away from their users, and ends
    /// waiting for the network. Returns whether all ended well.
    pub(crate) fn stop(&self, signals: &Receiver<i32>) -> bool {
        let mut patience = Patience {
            signals,
            exhausted: false,
        };
        self.stop_devices(&mut patience);
        self.ship_rest(&mut patience);
        for mirror in self.mirrors() {
            mirror.request_stop();
        }
        let mut well = self.failed() == 0;
        for volume in self.volumes() {
            well &= volume.finish().is_ok();
        }
        well
    }

    fn stop_devices(&self, patience: &mut Patience<'_>) {
        let mut left: Vec<&Volume> = self.volumes().collect();
        let mut told = None;
        while !left.is_empty() {
            left.retain(|volume| {
                if volume.has_ended() {
                    return false;
                }
                let stopped = volume.stop_device(patience.exhausted);
                if let Err(reason) = stopped
                    && told.as_ref() != Some(&reason)
                {
                    tracing::warn!(
                        volume = volume.name(),
                        reason,
                        "waiting until the device is not used any more; a second signal takes it away"
                    );
                    told = Some(reason);
                }
                true
            });
            if !left.is_empty() {
                patience.wait();
            }
        }
    }

    fn ship_rest(&self, patience: &mut Patience<'_>) {
        let deadline = Instant::now() + SHIP_PATIENCE;
        while !patience.exhausted
            && Instant::now() < deadline
            && self.volumes().any(Volume::is_shipping)
        {
            patience.wait();
        }
    }

    fn sample(&self) {
        let now = Instant::now();
        for volume in self.volumes() {
            volume.sample(now);
        }
        for mirror in self.mirrors() {
            mirror.sample(now);
        }
    }

    fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter_map(Slot::started)
    }

    fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.mirrors.iter().filter_map(Slot::started)
    }

    fn failed(&self) -> usize {
        self.volumes.len() - self.volumes().count() + self.mirrors.len() - self.mirrors().count()
    }
}

fn json(answer: impl Serialize) -> Result<Value, String> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

/// Logs a failure to start, and gives it on one line.
fn note(name: &str, failure: Failure, failures: &mut Vec<Failure>) -> String {
    let brief = failure.brief();
    let hint = failure
        .problems
        .iter()
        .find_map(|problem| problem.hint.as_deref());
    tracing::error!(name, error = brief, hint, "can't start");
    failures.push(failure);
    brief
}

impl<T, R> Slot<T, R> {
    fn started(&self) -> Option<&T> {
        match self {
            Self::Started(started) => Some(started),
            Self::Failed(_) => None,
        }
    }
}

impl Slot<Volume, VolumeReport> {
    fn volume_report(&self) -> VolumeReport {
        match self {
            Self::Started(volume) => volume.report(),
            Self::Failed(report) => report.clone(),
        }
    }
}

impl Slot<Mirror, MirrorReport> {
    fn mirror_report(&self) -> MirrorReport {
        match self {
            Self::Started(mirror) => mirror.report(),
            Self::Failed(report) => report.clone(),
        }
    }
}

/// How long the operator lets a stop take: until the next signal to stop.
struct Patience<'a> {
    signals: &'a Receiver<i32>,
    exhausted: bool,
}

impl Patience<'_> {
    /// Waits a moment, or until such a signal.
    fn wait(&mut self) {
        if let Ok(SIGTERM | SIGINT) = self.signals.recv_timeout(TICK) {
            tracing::warn!(
                "second signal: devices are taken from their users, shipping is not waited for"
            );
            self.exhausted = true;
        }
    }
}

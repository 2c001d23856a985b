//! One running mirror: the disk, the applier that writes it, and the shippers that pass on what it
//! receives.

use std::sync::Arc;
use std::time::Instant;

use aim_core::clock::{Clock, SystemClock};
use aim_core::device::BlockDevice;
use aim_core::fs::HostDirectory;
use aim_core::replay::Differences;
use aim_core::spool::MirrorSpool;
use aim_core::units::Lsn;
use aim_remote::apply::{Applier, ApplyOptions, ApplyStatus};
use aim_remote::fetch::{FetchOptions, FetchRounds, Fetcher};
use aim_remote::relay::Relay;
use aim_remote::ship::Retention;
use aim_remote::transport::ReadAt;

use super::report::{FetchReport, MirrorReport, State, seconds_left};
use super::targets::{Targets, named};
use super::volume::in_the_way;
use crate::config::{MirrorConfig, Size, TargetConfig};
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::far::{Line, line, told_of_fetching};
use crate::state;

/// A mirror that receives and applies.
#[derive(Debug)]
pub(crate) struct Mirror {
    config: MirrorConfig,
    applier: Applier,
    /// What is passed on, and to whom.
    relay: Option<(Arc<Relay>, Targets)>,
    /// What brings files from an object store.
    fetcher: Option<Fetcher>,
}

impl Mirror {
    /// Claims the disk and starts to apply.
    ///
    /// # Errors
    ///
    /// Whatever is in the way; nothing is left behind.
    pub(crate) fn start(config: &MirrorConfig) -> Outcome<Self> {
        let name = &config.name;
        let spool = open(config)?;
        let pairing = spool
            .pairing()
            .map_err(|error| state::spool_failed(&error))?;
        let Some(pairing) = pairing else {
            return Err(Problem::new(
                "the mirror is not paired with its disk: mirror.id is missing",
            )
            .at(config.directory.display())
            .hint(format!("run `aim init {name}` on this host"))
            .exit(Exit::NotFound));
        };
        require_follower(config, &spool)?;
        let device = disk::open_exclusive(&config.device)?;
        disk::check_fits(spool.identity(), &device, &config.device)?;
        disk::check_paired(spool.identity(), &pairing, &device, &config.device)?;
        let device: Arc<dyn BlockDevice> = Arc::new(device);
        let passing = passing(config, &spool)?;
        let (devices, options) = (vec![device], ApplyOptions::default());
        let applier = match &passing {
            Some((relay, _)) => Applier::start_relaying(relay, devices, options),
            None => Applier::start(spool.clone(), devices, options),
        };
        let applier = applier.map_err(|error| {
            Problem::new("can't start to apply")
                .at(format!("[mirror.{name}]"))
                .because(&error)
                .exit(Exit::Failed)
        })?;
        let relay = match passing {
            Some((relay, retention)) => {
                let owner = format!("mirror.{name}");
                let targets = Targets::start(&owner, &config.targets, retention, None)?;
                Some((relay, targets))
            }
            None => None,
        };
        let fetcher = fetcher(config, &spool)?;
        Ok(Self {
            config: config.clone(),
            applier,
            relay,
            fetcher,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// The disk.
    pub(crate) fn device(&self) -> &std::path::Path {
        &self.config.device
    }

    /// Samples the latency of those to whom it passes on what it receives, and leaves those that are too
    /// far behind; to be called several times a second.
    pub(crate) fn sample(&self, now: Instant) {
        if let Some((_, targets)) = &self.relay {
            targets.sample(now, self.applier.status().received.lsn.get());
        }
    }

    /// How it is.
    pub(crate) fn report(&self) -> MirrorReport {
        let status = self.applier.status();
        let (mut targets, mut wanted) = (Vec::new(), None);
        if let Some((relay, passed_on)) = &self.relay {
            targets = passed_on.reports(Instant::now(), status.received.is_start());
            wanted = Some(relay.wanted()).filter(|from| *from > Lsn(0));
        }
        let place = self
            .config
            .fetch
            .as_ref()
            .map(|from| from.target.to_string());
        let fetching = self.fetcher.as_ref().zip(place);
        let fetch = fetching.map(|(fetcher, place)| fetch_report(fetcher, &place));
        let not_fetching = fetch.as_ref().and_then(|fetch| fetch.last_error.clone());
        let trouble = trouble(&status)
            .or_else(|| in_the_way(&targets))
            .or(not_fetching);
        let different = status.differences.bytes().get();
        MirrorReport {
            name: self.config.name.clone(),
            state: match trouble {
                Some(_) => State::Retrying,
                None => State::Running,
            },
            device: self.config.device.display().to_string(),
            directory: self.config.directory.display().to_string(),
            received_lsn: Some(status.received.lsn.get()),
            applied_lsn: Some(status.applied.lsn.get()),
            settled: Some(status.is_settled),
            open_group_lsn: status.open_group.map(Lsn::get),
            different_bytes: Some(different),
            waiting_files: Some(status.waiting_files),
            waiting_bytes: Some(status.waiting_bytes),
            latency_seconds: latency(&status),
            rate_bytes_per_second: Some(status.bytes_per_second),
            seconds_left: seconds_left(status.waiting_bytes, status.bytes_per_second as f64),
            rejected_files: Some(status.rejected_files),
            waits_for_baseline: status.waits_for_baseline,
            baseline_wanted_lsn: wanted.map(Lsn::get),
            targets,
            fetch,
            last_error: trouble.or_else(|| difference_message(&status.differences)),
        }
    }

    /// Asks it to stop after the file that is being applied.
    pub(crate) fn request_stop(&self) {
        if let Some(fetcher) = &self.fetcher {
            fetcher.request_stop();
        }
        self.applier.request_stop();
        if let Some((_, targets)) = &self.relay {
            targets.request_stop();
        }
    }
}

/// Age of the oldest file that is not applied; `None` if it can't be read.
fn latency(status: &ApplyStatus) -> Option<f64> {
    if status.waiting_files == 0 {
        return Some(0.0);
    }
    let created = status.oldest_waiting?;
    let age = SystemClock.now().get().saturating_sub(created.get());
    Some(age as f64 / 1e9)
}

/// Who follows a store is never asked what it holds.
fn require_follower(config: &MirrorConfig, spool: &MirrorSpool) -> Outcome<()> {
    let is_follower = spool
        .is_follower()
        .map_err(|error| state::spool_failed(&error))?;
    match config.fetch.is_some() && !is_follower {
        false => Ok(()),
        true => Err(Problem::new(
            "the mirror was made to be shipped to by the source: it can't fetch",
        )
        .at(config.directory.display())
        .hint(format!(
            "empty its directory, and run `aim init {}` here: it begins anew",
            config.name
        ))
        .exit(Exit::Usage)),
    }
}

/// Starts to fetch, if the mirror is to.
fn fetcher(config: &MirrorConfig, spool: &MirrorSpool) -> Outcome<Option<Fetcher>> {
    let Some(from) = &config.fetch else {
        return Ok(None);
    };
    let started = match line(from) {
        Line::Local(transport) => fetch(spool, transport, from),
        #[cfg(feature = "s3")]
        Line::Store(transport) => fetch(spool, transport, from),
        // the configuration was refused
        Line::Sftp(_) => return Ok(None),
    };
    started.map(Some).map_err(|error| {
        Problem::new("can't start fetching")
            .at(format!("[mirror.{}]", config.name))
            .io(&error)
    })
}

fn fetch(
    spool: &MirrorSpool,
    transport: impl ReadAt,
    from: &TargetConfig,
) -> std::io::Result<Fetcher> {
    let rounds = FetchRounds::new(spool.clone(), transport, from.line.channels);
    Fetcher::start(rounds, FetchOptions::default())
}

/// How fetching goes.
fn fetch_report(fetcher: &Fetcher, place: &str) -> FetchReport {
    let status = fetcher.status();
    let trouble = status.trouble.as_ref();
    FetchReport {
        place: place.to_owned(),
        waiting_files: Some(status.waiting_files),
        waiting_bytes: Some(status.waiting_bytes),
        rate_bytes_per_second: Some(status.bytes_per_second),
        waits_for_baseline: status.waits_for_baseline,
        last_error: trouble.map(|trouble| told_of_fetching(place, trouble)),
    }
}

/// What a mirror passes on, if it is to pass on anything.
fn passing(
    config: &MirrorConfig,
    spool: &MirrorSpool,
) -> Outcome<Option<(Arc<Relay>, Arc<Retention>)>> {
    if config.targets.is_empty() {
        return Ok(None);
    }
    let relay = Relay::open(spool.clone());
    let relay = relay.map_err(|error| state::spool_failed(&error))?;
    let retention = Retention::relay(&relay, named(&config.targets));
    let retention = retention.map_err(|error| state::spool_failed(&error))?;
    Ok(Some((relay, retention)))
}

fn open(config: &MirrorConfig) -> Outcome<MirrorSpool> {
    let root = HostDirectory::open(&config.directory).map_err(|error| {
        Problem::new("can't open the mirror's directory")
            .at(config.directory.display())
            .hint(format!(
                "run `aim init {}` first, on the source and here",
                config.name
            ))
            .io(&error)
    })?;
    MirrorSpool::open(root).map_err(|error| state::spool_failed(&error))
}

/// That source and mirror differ, on one line.
pub(crate) fn difference_message(found: &Differences) -> Option<String> {
    let bytes = Size(found.bytes().get());
    (!found.is_empty()).then(|| {
        format!(
            "{bytes} differ from the source in {} places: found by verify, not mended yet",
            found.ranges().count()
        )
    })
}

/// What is in the way, on one line; files that were set aside too.
fn trouble(status: &ApplyStatus) -> Option<String> {
    let trouble = status
        .apply_trouble
        .as_ref()
        .or(status.receive_trouble.as_ref());
    trouble.map(|trouble| trouble.message()).or_else(|| {
        let missing = status.missing?;
        let rejected = status.last_rejected.as_ref();
        let why = rejected.map_or_else(String::new, |rejected| {
            format!("; {} was set aside: {}", rejected.name, rejected.reason)
        });
        Some(format!(
            "file {missing} has not arrived, later ones have{why}"
        ))
    })
}

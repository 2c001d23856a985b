//! The targets of a running volume, or of a mirror that passes on what it receives: a shipper each, and
//! the files that they keep together.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::Standing;
use aim_remote::ship::{Retention, Rounds, ShipOptions, ShipStatus, Shipper, Target, TargetKind};
use aim_remote::transport::Transport;

use super::meter::Meter;
use super::report::{ReaderReport, TargetReport, seconds_left};
use super::volume::lock;
use crate::config::TargetConfig;
use crate::failure::{Outcome, Problem, one_line};
use crate::far::{Line, line, told};
use crate::time::rfc3339;

/// How often it is looked whether a target is too far behind.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The targets of a running volume or mirror.
#[derive(Debug)]
pub(super) struct Targets {
    /// Whose they are.
    owner: String,
    retention: Arc<Retention>,
    lines: Vec<ToTarget>,
    /// What journal files may take.
    room: Option<u64>,
    checked: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct ToTarget {
    name: String,
    /// As it is configured.
    place: String,
    shipper: Shipper,
    /// Whether files are packed for the way.
    is_packing: bool,
    latency: Mutex<Meter>,
}

/// The targets as those know them who keep files for them.
pub(super) fn named(configs: &[TargetConfig]) -> Vec<Target> {
    let named = configs.iter().map(|target| Target {
        name: target.name.clone(),
        kind: match target.target.answers() {
            true => TargetKind::Mirror,
            false => TargetKind::Store,
        },
        max_lag: target.max_lag,
    });
    named.collect()
}

impl ToTarget {
    /// Bytes of journal files a second: those on the line, and what packing has saved on average.
    fn raw_rate(&self, shipping: &ShipStatus) -> f64 {
        let rate = shipping.bytes_per_second as f64;
        match self.is_packing && shipping.delivered_bytes > shipping.sent_bytes {
            true => rate * (shipping.delivered_bytes as f64 / shipping.sent_bytes.max(1) as f64),
            false => rate,
        }
    }
}

impl Targets {
    /// Starts shipping to all of them, in the order in which `retention` has them. Journal files may
    /// take so much `room`.
    pub(super) fn start(
        owner: &str,
        configs: &[TargetConfig],
        retention: Arc<Retention>,
        room: Option<u64>,
    ) -> Outcome<Self> {
        let mut lines = Vec::new();
        for (index, target) in configs.iter().enumerate() {
            let shipper = match line(target) {
                Line::Local(transport) => ship(&retention, index, target, transport),
                Line::Sftp(transport) => ship(&retention, index, target, transport),
                #[cfg(feature = "s3")]
                Line::Store(transport) => ship(&retention, index, target, transport),
            };
            let shipper = shipper.map_err(|error| {
                Problem::new("can't start shipping")
                    .at(format!("{owner}, {}", target.name))
                    .io(&error)
            })?;
            lines.push(ToTarget {
                name: target.name.clone(),
                place: target.target.to_string(),
                shipper,
                is_packing: target.line.options.compression.is_some(),
                latency: Mutex::default(),
            });
        }
        Ok(Self {
            owner: owner.to_owned(),
            retention,
            lines,
            room,
            checked: Mutex::default(),
        })
    }

    /// Samples the latency of each, and leaves those that are too far behind; to be called several
    /// times a second.
    pub(super) fn sample(&self, now: Instant, newest: u64) {
        for line in &self.lines {
            let applied = line.shipper.status().applied.lsn.get();
            lock(&line.latency).sample(now, newest, applied);
        }
        let mut checked = lock(&self.checked);
        if checked.is_none_or(|then| now.duration_since(then) >= CHECK_EVERY) {
            *checked = Some(now);
            if let Err(error) = self.retention.check(SystemClock.now(), self.room) {
                let error = one_line(&error);
                tracing::warn!(of = self.owner, error, "the files can't be looked at");
            }
        }
    }

    /// How each is shipped to, in the order of their names.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (&str, ShipStatus)> {
        let lines = self.lines.iter();
        lines.map(|line| (line.name.as_str(), line.shipper.status()))
    }

    /// How each is. Nothing is known of a mirror until it was reached once, unless nothing is
    /// sealed.
    pub(super) fn reports(&self, now: Instant, nothing_is_sealed: bool) -> Vec<TargetReport> {
        let lines = self.lines.iter().enumerate();
        lines
            .map(|(index, line)| {
                let shipping = line.shipper.status();
                let standing = self.retention.status(index);
                let readers = shipping.readers.iter().map(|reader| ReaderReport {
                    mirror: reader.mirror.to_string(),
                    received_lsn: reader.received.lsn.get(),
                    applied_lsn: reader.applied.lsn.get(),
                    seen: rfc3339(reader.seen),
                });
                let readers = readers.collect();
                let asked = nothing_is_sealed || !shipping.shipped.is_start();
                let trouble = shipping.trouble.as_ref();
                let trouble = trouble.map(|trouble| told(&line.place, trouble));
                let left = standing
                    .left_because
                    .filter(|_| standing.standing == Standing::Left);
                TargetReport {
                    name: line.name.clone(),
                    place: shipping.target.clone(),
                    standing: standing.standing.into(),
                    shipped_lsn: asked.then_some(shipping.shipped.lsn.get()),
                    received_lsn: asked.then_some(shipping.received.lsn.get()),
                    applied_lsn: asked.then_some(shipping.applied.lsn.get()),
                    waiting_files: Some(standing.kept_files),
                    waiting_bytes: Some(standing.kept_bytes),
                    latency_seconds: Some(lock(&line.latency).latency(now).as_secs_f64()),
                    rate_bytes_per_second: Some(shipping.bytes_per_second),
                    seconds_left: seconds_left(standing.kept_bytes, line.raw_rate(&shipping)),
                    different_bytes: shipping.differences.map(|found| found.bytes().get()),
                    left_because: left,
                    needed_behind: Some(standing.is_needed_behind),
                    readers,
                    last_error: trouble,
                }
            })
            .collect()
    }

    /// Whether a shipper may still get something done by itself: a mirror host lacks files up to
    /// this LSN, and nothing is in the way.
    pub(super) fn is_shipping(&self, sealed: u64) -> bool {
        let mut lines = self.lines.iter().enumerate();
        lines.any(|(index, line)| {
            let status = line.shipper.status();
            let follows = self.retention.status(index).standing == Standing::Follows;
            follows && status.trouble.is_none() && status.shipped.lsn.get() < sealed
        })
    }

    pub(super) fn request_stop(&self) {
        for line in &self.lines {
            line.shipper.request_stop();
        }
    }
}

fn ship(
    retention: &Arc<Retention>,
    index: usize,
    config: &TargetConfig,
    transport: impl Transport,
) -> std::io::Result<Shipper> {
    let rounds = Rounds::to_target(retention.clone(), index, transport);
    let rounds = rounds.over(config.line.options.clone());
    Shipper::go_round(rounds, ShipOptions::default())
}

//! The mirror's directory, as the source reaches it.

use std::path::Path;
use std::time::Duration;
#[cfg(feature = "s3")]
use std::time::Instant;

use aim_core::identity::VolumeIdentity;
use aim_remote::file_io::run_blocking;
#[cfg(feature = "s3")]
use aim_remote::transport::StoreTransport;
use aim_remote::transport::{LocalTransport, SftpTransport, Survey, Transport, TransportError};

use super::disk;
use super::finding::Section;
use super::folder::{FILES_ENOUGH, FILES_LEAST, judge_room};
use super::host::look;
use super::probe::{self, Speed};
use crate::config::{Login, MirrorConfig, Size, Target, TargetConfig, VolumeConfig};
use crate::far::{FarDirectory, Line, explain, line};
use crate::host::DiskGraph;

/// Answers that have to be waited for until a sealed file is there: two for the listing and two
/// for the cursor of a look at the far side, five to make the file.
const ROUND_TRIPS: u32 = 9;
/// What a source seals a file at by default.
const SEAL_BYTES: u64 = 16 << 20;

/// A volume, or a mirror that passes on what it receives, and one of its targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    /// Name of the volume or mirror.
    pub(super) name: &'a str,
    pub(super) device: &'a Path,
    /// How large files become.
    pub(super) seal_bytes: u64,
    /// How long a change may wait for others before it goes.
    pub(super) seal_after: Duration,
    /// Whether who is there is never asked what it holds.
    pub(super) is_follower: bool,
    pub(super) target: &'a TargetConfig,
}

impl<'a> Way<'a> {
    pub(super) fn of_volume(volume: &'a VolumeConfig, target: &'a TargetConfig) -> Self {
        Self {
            name: &volume.name,
            device: &volume.device,
            seal_bytes: volume.seal_bytes,
            seal_after: volume.seal_after,
            is_follower: false,
            target,
        }
    }

    pub(super) fn of_mirror(mirror: &'a MirrorConfig, target: &'a TargetConfig) -> Self {
        Self {
            name: &mirror.name,
            device: &mirror.device,
            // as the source has it, if it has set nothing else
            seal_bytes: SEAL_BYTES,
            seal_after: Duration::ZERO,
            is_follower: true,
            target,
        }
    }
}

/// Looks at a target.
pub(super) fn examine(
    section: &mut Section,
    way: Way<'_>,
    graph: &DiskGraph,
    identity: Option<&VolumeIdentity>,
) {
    let speed = match (line(way.target), &way.target.target) {
        (Line::Local(transport), Target::Directory(path)) => {
            local(section, way, graph, &transport, path)
        }
        (Line::Sftp(transport), _) => sftp(section, way, &transport),
        #[cfg(feature = "s3")]
        (Line::Store(transport), _) => store(section, way, &transport),
        (Line::Local(_), Target::Ssh(_) | Target::Store(_)) => None,
    };
    if speed.is_some() {
        belongs(section, way, identity);
    }
}

fn local(
    section: &mut Section,
    way: Way<'_>,
    graph: &DiskGraph,
    transport: &LocalTransport,
    path: &Path,
) -> Option<Speed> {
    let folder = look(section, "target", path)?;
    if folder.exists {
        folder.judge_durable(section, "target");
        room(section, way, folder.free_bytes);
    }
    if disk::shares(graph, path, way.device) {
        section.warn(
            "target",
            "the mirror's directory is on the same disk as what is mirrored",
            "put it on another disk, or on another host",
        );
    }
    let speed = run_blocking(|_| probe::measure(transport)).ok()?;
    judge_speed(section, way, Duration::ZERO, speed)
}

/// An object store: it is asked for what is there, so often that its answers have a time.
#[cfg(feature = "s3")]
fn store(section: &mut Section, way: Way<'_>, transport: &StoreTransport) -> Option<Speed> {
    let examined = run_blocking(|_| async {
        transport.list("").await?;
        let mut times = Vec::new();
        for _ in 0..ANSWERS {
            let asked = Instant::now();
            transport.list("").await?;
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        Ok((times[ANSWERS / 2], probe::measure(transport).await))
    });
    let (round_trip, speed) = match examined {
        Ok(Ok(examined)) => examined,
        Ok(Err(error)) => {
            section.failed("target", explain(&way.target.target.to_string(), &error));
            return None;
        }
        Err(error) => {
            let what = format!("the network part can't be started: {error}");
            section.problem("target", what, "look at the limits of this process");
            return None;
        }
    };
    let place = way.target.target.to_string();
    section.ok("target", format!("{place} is reached"));
    if let Some(Login::Store { credentials, .. }) = &way.target.login {
        let from = match credentials {
            Some(path) => path.display().to_string(),
            None => "the environment".to_owned(),
        };
        section.ok("login", format!("with the access key of {from}"));
    }
    let finding = section.ok("round_trip", milliseconds(round_trip));
    finding.figure("seconds", round_trip.as_secs_f64());
    judge_speed(section, way, round_trip, speed)
}

/// How often a store is asked, for the median.
#[cfg(feature = "s3")]
const ANSWERS: usize = 5;

fn sftp(section: &mut Section, way: Way<'_>, transport: &SftpTransport) -> Option<Speed> {
    let examined = run_blocking(|_| async {
        let survey = transport.survey().await?;
        Ok((survey, probe::measure(transport).await))
    });
    let (survey, speed): (Survey, _) = match examined {
        Ok(Ok(examined)) => examined,
        Ok(Err(error)) => {
            section.failed("target", explain(&transport.place(), &error));
            return None;
        }
        Err(error) => {
            let what = format!("the network part can't be started: {error}");
            section.problem("target", what, "look at the limits of this process");
            return None;
        }
    };
    told(section, way, &survey);
    if let Some(free) = survey.free_bytes {
        room(section, way, free);
    }
    judge_speed(section, way, survey.round_trip, speed)
}

/// What was found out by connecting.
fn told(section: &mut Section, way: Way<'_>, survey: &Survey) {
    let place = way.target.target.to_string();
    section.ok("target", format!("{place} is reached"));
    match (&survey.host_key, &survey.login, &way.target.login) {
        (Some(host_key), Some(login), _) => {
            section.ok("host_key", host_key);
            section.ok("login", format!("with {login}"));
        }
        (_, _, Some(Login::Program { path, .. })) => {
            section.ok("login", format!("by {}", path.display()));
        }
        _ => {}
    }
    let finding = section.ok(
        "sftp",
        "files can be made durable, and replaced in one step",
    );
    finding.figure("extensions", survey.extensions.clone());
    let shown = milliseconds(survey.round_trip);
    let finding = section.ok("round_trip", shown);
    finding.figure("seconds", survey.round_trip.as_secs_f64());
}

fn room(section: &mut Section, way: Way<'_>, free: u64) {
    let files = |count: u64| count * way.seal_bytes;
    let needed = (files(FILES_LEAST), files(FILES_ENOUGH));
    judge_room(section, "target_room", free, needed, "what arrives");
}

/// Says what the probe has shown, and what is to be expected of it.
fn judge_speed(
    section: &mut Section,
    way: Way<'_>,
    round_trip: Duration,
    speed: Result<Speed, TransportError>,
) -> Option<Speed> {
    let speed = match speed {
        Ok(speed) => speed,
        Err(error) => {
            section.failed("writable", explain(&way.target.target.to_string(), &error));
            return None;
        }
    };
    section.ok("writable", "a file was stored, synced and removed");
    let rate = speed.bytes_per_second();
    let shown = format!("{} a second", Size(rate as u64));
    let finding = section.ok("throughput", shown);
    finding
        .figure("bytes_per_second", rate as u64)
        .figure("probe_bytes", speed.bytes);
    let (idle, busy) = latency(way, round_trip, rate);
    let what = format!(
        "about {:.1} s is to be expected, {:.1} s where files are full",
        idle.as_secs_f64(),
        busy.as_secs_f64()
    );
    let finding = section.ok("time_latency", what);
    finding
        .figure("idle_seconds", idle.as_secs_f64())
        .figure("busy_seconds", busy.as_secs_f64());
    Some(speed)
}

/// Until a change is on the mirror: its file is sealed, and travels; small, or as large as it may
/// become.
fn latency(way: Way<'_>, round_trip: Duration, rate: f64) -> (Duration, Duration) {
    let idle = way.seal_after + round_trip * ROUND_TRIPS;
    let full = way.seal_bytes as f64 / rate.max(1.0);
    (idle, idle + Duration::from_secs_f64(full.min(1e9)))
}

/// Whether what is there is this volume's.
fn belongs(section: &mut Section, way: Way<'_>, identity: Option<&VolumeIdentity>) {
    let far = match FarDirectory::new(way.target).volume() {
        Ok(far) => far,
        Err(failure) => {
            section.failed("pairing", failure);
            return;
        }
    };
    match (identity, far) {
        (Some(ours), Some(theirs)) if ours.id == theirs.id => {
            kind(section, way);
        }
        (_, Some(theirs)) => {
            let remedy = "give each volume a directory of its own on the mirror host";
            let what = format!("the directory is that of volume {}", theirs.id);
            section.problem("pairing", what, remedy);
        }
        (Some(_), None) => {
            let remedy = format!("`aim init {}` again", way.name);
            section.problem("pairing", "the directory has no volume.id", remedy);
        }
        (None, None) => {
            section.ok("pairing", "the directory is free for a new volume");
        }
    }
}

/// Whether the mirror there knows how it is shipped to.
fn kind(section: &mut Section, way: Way<'_>) {
    match (way.is_follower, FarDirectory::new(way.target).is_follower()) {
        (_, Err(failure)) => {
            section.failed("pairing", failure);
        }
        (expected, Ok(found)) if expected == found => {
            section.ok("pairing", "the directory is this volume's");
        }
        (true, Ok(_)) => {
            let remedy = format!("empty it, `aim init {}` here, and then there", way.name);
            section.problem(
                "pairing",
                "the directory is of a mirror of the source",
                remedy,
            );
        }
        (false, Ok(_)) => {
            let remedy = "only the relay ships to it; or empty it, and init anew";
            section.problem(
                "pairing",
                "the directory is of a mirror behind a relay",
                remedy,
            );
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

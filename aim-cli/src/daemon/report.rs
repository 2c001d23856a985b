//! What the program tells of itself: the JSON of `aim status`, described in docs/operations.md.

use aim_core::capture::{BaselineStatus, VerifyStatus};
use aim_core::cursor::Standing;
use serde::{Deserialize, Serialize};

use super::device_report::DeviceReport;

/// The answer to `aim status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) daemon: DaemonReport,
    pub(crate) volumes: Vec<VolumeReport>,
    pub(crate) mirrors: Vec<MirrorReport>,
}

/// The program itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DaemonReport {
    pub(crate) running: bool,
    pub(crate) pid: Option<u32>,
    pub(crate) version: Option<String>,
    /// When this program was executed; a new version in the same process has a new time.
    pub(crate) started: Option<String>,
}

/// How a volume or mirror is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Starting,
    Running,
    /// Something is in the way, and it is tried again.
    Retrying,
    /// The journal has no room: writers wait.
    Blocked,
    /// The disk goes on, capture does not.
    Passthrough,
    Stopping,
    #[default]
    Stopped,
    Failed,
}

/// One `[volume.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeReport {
    pub(crate) name: String,
    pub(crate) state: State,
    /// The path to use, `/dev/aim/NAME`; none before it is there.
    pub(crate) device: Option<String>,
    pub(crate) captured_lsn: Option<u64>,
    pub(crate) sealed_lsn: Option<u64>,
    pub(crate) shipped_lsn: Option<u64>,
    pub(crate) received_lsn: Option<u64>,
    pub(crate) applied_lsn: Option<u64>,
    pub(crate) waiting_files: Option<u64>,
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) latency_seconds: Option<f64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Until nothing waits, at the present rate.
    pub(crate) seconds_left: Option<f64>,
    /// How its device serves; none before it is there.
    #[serde(default)]
    pub(crate) io: Option<DeviceReport>,
    /// Set while transactions are not captured: for how long.
    pub(crate) passthrough_seconds: Option<f64>,
    /// Set while parts of the disk have to be copied before the mirror can follow again.
    pub(crate) resync: Option<ResyncReport>,
    pub(crate) verify: Option<VerifyReport>,
    /// Bytes of mirrors' disks that a verification has found to be different.
    pub(crate) different_bytes: Option<u64>,
    /// Bytes that would have to be copied after a power cut.
    pub(crate) hot_bytes: Option<u64>,
    /// Why the extent map can't be written.
    pub(crate) map_error: Option<String>,
    pub(crate) last_error: Option<String>,
    /// Set while all of the disk is put into the series, for targets that lack files.
    pub(crate) baseline: Option<BaselineReport>,
    /// In the order of their names.
    pub(crate) targets: Vec<TargetReport>,
}

/// One `[volume.NAME.targets.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetReport {
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: String,
    pub(crate) standing: TargetStanding,
    pub(crate) shipped_lsn: Option<u64>,
    pub(crate) received_lsn: Option<u64>,
    pub(crate) applied_lsn: Option<u64>,
    /// Files that are kept for it, and their bytes.
    pub(crate) waiting_files: Option<u64>,
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) latency_seconds: Option<f64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Until it has them, at the present rate.
    pub(crate) seconds_left: Option<f64>,
    /// Bytes of its disk that a verification has found to be different.
    pub(crate) different_bytes: Option<u64>,
    /// Why nothing is kept for it any more.
    pub(crate) left_because: Option<String>,
    /// Whether mirrors behind it wait for a baseline.
    pub(crate) needed_behind: Option<bool>,
    /// Mirrors that follow it, where it is an object store.
    #[serde(default)]
    pub(crate) readers: Vec<ReaderReport>,
    pub(crate) last_error: Option<String>,
}

/// How long bytes take at a rate in bytes a second; `None` where nothing goes on.
pub(crate) fn seconds_left(bytes: u64, rate: f64) -> Option<f64> {
    match bytes {
        0 => Some(0.0),
        _ => (rate > 0.0).then(|| bytes as f64 / rate),
    }
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetStanding {
    /// It was not reached yet; everything is kept for it.
    #[default]
    New,
    /// It gets each change.
    Follows,
    /// It lacks files, and gets all of the disk.
    Joins,
    /// It was too far behind: nothing is kept for it.
    Left,
}

impl From<Standing> for TargetStanding {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::New => Self::New,
            Standing::Follows => Self::Follows,
            Standing::Joins => Self::Joins,
            Standing::Left => Self::Left,
        }
    }
}

impl TargetStanding {
    /// As it is written in JSON and for people.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Follows => "follows",
            Self::Joins => "joins",
            Self::Left => "left",
        }
    }
}

/// How all of the disk is put into the series, for targets that lack files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BaselineReport {
    pub(crate) covered_bytes: u64,
    pub(crate) total_bytes: u64,
    /// Whether it rests, because a target that needs it is far behind.
    pub(crate) resting: bool,
}

/// What has to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResyncReport {
    /// Of whole extents, so it falls in steps.
    pub(crate) needed_bytes: u64,
    /// Read or compared since the resync began.
    pub(crate) copied_bytes: u64,
    /// All that this resync has to copy.
    pub(crate) total_bytes: u64,
    /// Those among the needed ones that can't be read at present.
    pub(crate) unreadable_bytes: u64,
    pub(crate) rate_bytes_per_second: Option<u64>,
    pub(crate) seconds_left: Option<f64>,
}

impl ResyncReport {
    /// Whether nothing is left but what can't be read.
    pub(crate) fn is_stuck(&self) -> bool {
        self.unreadable_bytes > 0 && self.unreadable_bytes == self.needed_bytes
    }
}

/// How verification goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifyReport {
    pub(crate) running: bool,
    pub(crate) covered_bytes: u64,
    pub(crate) total_bytes: u64,
    /// Since the start.
    pub(crate) passes: u64,
    pub(crate) last_lsn: u64,
    /// Bytes that the last complete pass left out.
    pub(crate) skipped_bytes: u64,
}

impl From<VerifyStatus> for VerifyReport {
    fn from(status: VerifyStatus) -> Self {
        Self {
            running: status.is_running,
            covered_bytes: status.covered.get(),
            total_bytes: status.total.get(),
            passes: status.passes,
            last_lsn: status.last.get(),
            skipped_bytes: status.last_skipped.get(),
        }
    }
}

/// One `[mirror.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MirrorReport {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) device: String,
    pub(crate) directory: String,
    pub(crate) received_lsn: Option<u64>,
    pub(crate) applied_lsn: Option<u64>,
    /// Whether the disk is exactly what `applied_lsn` says.
    pub(crate) settled: Option<bool>,
    /// Where the group begins for whose end the mirror waits; none if it waits for none.
    pub(crate) open_group_lsn: Option<u64>,
    /// Bytes that are known to differ from the source.
    pub(crate) different_bytes: Option<u64>,
    pub(crate) waiting_files: Option<u64>,
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) latency_seconds: Option<f64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Until all of it is applied, at the present rate.
    pub(crate) seconds_left: Option<f64>,
    /// Files that were set aside since the start.
    pub(crate) rejected_files: Option<u64>,
    /// Whether nothing is applied before a baseline comes.
    #[serde(default)]
    pub(crate) waits_for_baseline: bool,
    /// Where a baseline has to begin that mirrors behind this one wait for.
    pub(crate) baseline_wanted_lsn: Option<u64>,
    pub(crate) last_error: Option<String>,
    /// Where what arrives is passed on to, in the order of their names.
    #[serde(default)]
    pub(crate) targets: Vec<TargetReport>,
    /// How fetching from an object store goes; `None`: it does not fetch.
    #[serde(default)]
    pub(crate) fetch: Option<FetchReport>,
}

/// How a mirror fetches from an object store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FetchReport {
    /// Where from.
    pub(crate) place: String,
    /// Files that are in the store and not here, when last looked.
    pub(crate) waiting_files: Option<u64>,
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Whether there is no baseline in the store yet at which the mirror could begin.
    pub(crate) waits_for_baseline: bool,
    pub(crate) last_error: Option<String>,
}

/// A mirror that follows an object store, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReaderReport {
    /// Its UUID.
    pub(crate) mirror: String,
    pub(crate) received_lsn: u64,
    pub(crate) applied_lsn: u64,
    /// When it said so last.
    pub(crate) seen: String,
}

impl State {
    /// As it is written in JSON and for people.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Passthrough => "passthrough",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl MirrorReport {
    /// Whether it runs, nothing is known to differ, and whoever is behind it follows.
    fn is_well(&self) -> bool {
        self.state == State::Running
            && self.different_bytes.unwrap_or(0) == 0
            && !self.waits_for_baseline
            && (self.targets.iter()).all(|target| {
                target.standing == TargetStanding::Follows
                    && target.different_bytes.unwrap_or(0) == 0
            })
    }
}

impl VolumeReport {
    /// Whether the mirror follows each change, as far as is known.
    fn is_well(&self) -> bool {
        self.state == State::Running
            && self.resync.is_none()
            && self.map_error.is_none()
            && self.different_bytes.unwrap_or(0) == 0
            && (self.targets.iter()).all(|target| target.standing == TargetStanding::Follows)
    }

    /// The same, as far as one target is concerned.
    pub(crate) fn of_target(self, name: &str) -> Option<Self> {
        let target = self
            .targets
            .iter()
            .find(|target| target.name == name)?
            .clone();
        let own = target.last_error.clone();
        let own = own.or_else(|| target.left_because.clone());
        Some(Self {
            shipped_lsn: target.shipped_lsn,
            received_lsn: target.received_lsn,
            applied_lsn: target.applied_lsn,
            waiting_files: target.waiting_files,
            waiting_bytes: target.waiting_bytes,
            latency_seconds: target.latency_seconds,
            rate_bytes_per_second: target.rate_bytes_per_second,
            seconds_left: target.seconds_left,
            different_bytes: target.different_bytes,
            last_error: match self.state {
                State::Retrying => own,
                _ => self.last_error,
            },
            targets: vec![target],
            ..self
        })
    }
}

impl BaselineReport {
    /// Of what is under way, if it is.
    pub(crate) fn of(status: BaselineStatus) -> Option<Self> {
        status.is_wanted.then(|| Self {
            covered_bytes: match status.begin.get() {
                0 => 0,
                _ => status.covered.get(),
            },
            total_bytes: status.total.get(),
            resting: status.is_paused,
        })
    }
}

impl Report {
    /// Whether everything runs, without trouble.
    pub(crate) fn is_well(&self) -> bool {
        self.daemon.running
            && self.volumes.iter().all(VolumeReport::is_well)
            && self.mirrors.iter().all(MirrorReport::is_well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_known_where_something_goes_on() {
        assert_eq!(seconds_left(0, 0.0), Some(0.0));
        assert_eq!(seconds_left(100, 0.0), None);
        assert_eq!(seconds_left(100, 50.0), Some(2.0));
    }
}

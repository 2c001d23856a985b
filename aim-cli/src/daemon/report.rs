//! What the program tells of itself: the JSON of `aim status`, described in docs/operations.md.

use aim_core::capture::VerifyStatus;
use serde::{Deserialize, Serialize};

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
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) latency_seconds: Option<f64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Set while transactions are not captured: for how long.
    pub(crate) passthrough_seconds: Option<f64>,
    /// Set while parts of the disk have to be copied before the mirror can follow again.
    pub(crate) resync: Option<ResyncReport>,
    pub(crate) verify: Option<VerifyReport>,
    /// Bytes of the mirror's disk that a verification has found to be different.
    pub(crate) different_bytes: Option<u64>,
    /// Bytes that would have to be copied after a power cut.
    pub(crate) hot_bytes: Option<u64>,
    /// Why the extent map can't be written.
    pub(crate) map_error: Option<String>,
    pub(crate) last_error: Option<String>,
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
    pub(crate) waiting_bytes: Option<u64>,
    pub(crate) latency_seconds: Option<f64>,
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Files that were set aside since the start.
    pub(crate) rejected_files: Option<u64>,
    pub(crate) last_error: Option<String>,
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

impl VolumeReport {
    /// Whether the mirror follows each change, as far as is known.
    fn is_well(&self) -> bool {
        self.state == State::Running
            && self.resync.is_none()
            && self.map_error.is_none()
            && self.different_bytes.unwrap_or(0) == 0
    }
}

impl Report {
    /// Whether everything runs, without trouble.
    pub(crate) fn is_well(&self) -> bool {
        let volumes = self.volumes.iter();
        let mirrors = self.mirrors.iter();
        self.daemon.running
            && volumes.clone().all(VolumeReport::is_well)
            && mirrors
                .clone()
                .all(|m| m.state == State::Running && m.different_bytes.unwrap_or(0) == 0)
    }
}

//! What the program tells of itself: the JSON of `aim status`, described in docs/operations.md.

use aim_core::capture::ResyncStatus;
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
    /// Set while parts of the disk have to be copied before the mirror can follow again.
    pub(crate) resync: Option<ResyncReport>,
    pub(crate) last_error: Option<String>,
}

/// What has to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResyncReport {
    pub(crate) needed_bytes: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) unreadable_bytes: u64,
}

impl From<ResyncStatus> for ResyncReport {
    fn from(status: ResyncStatus) -> Self {
        Self {
            needed_bytes: status.needed.get(),
            copied_bytes: status.copied.get(),
            unreadable_bytes: status.unreadable.get(),
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

impl Report {
    /// Whether everything runs, without trouble.
    pub(crate) fn is_well(&self) -> bool {
        let volumes = self.volumes.iter();
        let mirrors = self.mirrors.iter();
        self.daemon.running
            && volumes
                .clone()
                .all(|v| v.state == State::Running && v.resync.is_none())
            && mirrors
                .clone()
                .all(|m| m.state == State::Running && m.different_bytes.unwrap_or(0) == 0)
    }
}

//! What the running program can be asked over its socket, and what it answers.

use aim_core::replay::{DeviceRange, Differences};
use serde::{Deserialize, Serialize};

/// One line to the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(crate) enum Request {
    /// How everything is: a [`Report`](super::Report).
    Status,
    /// Copy what is known to differ on a target, or on any, or all: [`SyncAsked`].
    Sync {
        volume: String,
        all: bool,
        target: Option<String>,
    },
    /// Put all of a volume into the series: [`SyncAsked`].
    Baseline { volume: String },
    /// Verify all of a volume: [`VerifyAsked`].
    Verify {
        volume: String,
        target: Option<String>,
    },
    /// Where a target, or any, is known to differ: [`Different`].
    Differences {
        volume: String,
        target: Option<String>,
    },
    /// Hand over to the program file. The connection ends with the program; what is answered is
    /// what stands in the way.
    Upgrade,
}

/// A resync was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncAsked {
    /// Bytes that are to be copied for it; 0 if nothing is known to differ.
    pub(crate) requested_bytes: u64,
    /// Whether it is known where the mirror differs.
    pub(crate) is_known: bool,
}

/// A verification was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifyAsked {
    /// It has ended when so many passes are complete.
    pub(crate) pass: u64,
    /// Bytes that the mirror had not compared before, of those that it should have.
    pub(crate) uncompared_bytes: u64,
}

/// Where the mirror differs, as of the `applied_lsn` of an earlier report or later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Different {
    /// Whether it is known.
    pub(crate) is_known: bool,
    pub(crate) ranges: Vec<Range>,
    /// Bytes that the mirror has not compared since it exists, of those that it should have.
    pub(crate) uncompared_bytes: u64,
}

/// A range of one device of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    /// On which target.
    pub(crate) target: String,
    pub(crate) device: u16,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Different {
    /// Where a target differs.
    pub(super) fn of(target: &str, found: &Differences) -> Self {
        let range = |range: DeviceRange| Range {
            target: target.to_owned(),
            device: range.device,
            offset: range.offset.get(),
            bytes: range.len.get(),
        };
        Self {
            is_known: true,
            ranges: found.ranges().map(range).collect(),
            uncompared_bytes: found.skipped_bytes(),
        }
    }
}

impl Different {
    /// Bytes of all ranges.
    pub(crate) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.bytes).sum()
    }
}

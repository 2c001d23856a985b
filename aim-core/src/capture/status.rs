//! What a capture says of itself.

use crate::cursor::Position;
use crate::units::{ByteLen, Lsn, Timestamp};

/// Whether transactions reach the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureState {
    /// They do.
    Capturing,
    /// The journal has no room: once the staging ring is full, writers wait. Goes on by itself.
    Blocked {
        /// What the file system said.
        reason: String,
    },
    /// The disk goes on, capture does not: what changes is noted, and the mirror stays at its last
    /// good instant. Ends by itself when the journal can be written again.
    Passthrough {
        /// Why.
        reason: String,
    },
}

/// What has to be copied so that the mirror can follow again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResyncStatus {
    /// Bytes of the disk that are still to be copied.
    pub needed: ByteLen,
    /// Bytes that were read for it since this resync began.
    pub copied: ByteLen,
    /// Bytes among `needed` that the disk can't read: the mirror keeps what it has there.
    pub unreadable: ByteLen,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyStatus {
    /// Bytes of the volume whose digests have gone into the series, in the present pass or in
    /// the one that ended last.
    pub covered: ByteLen,
    /// Bytes that this pass has left out: they can't be read.
    pub skipped: ByteLen,
    /// Bytes that the last complete pass has left out.
    pub last_skipped: ByteLen,
    /// Bytes of the volume.
    pub total: ByteLen,
    /// Passes that were completed since the start.
    pub passes: u64,
    /// The LSN of the last digest; 0 before the first.
    pub last: Lsn,
    /// Whether a pass is under way.
    pub is_running: bool,
}

/// Where a capture stands. All LSNs are inclusive; 0 stands for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// Whether transactions reach the journal.
    pub state: CaptureState,
    /// Set while the mirror can't follow the series transaction by transaction: from the begin of
    /// a group to its end.
    pub resync: Option<ResyncStatus>,
    /// How verification goes.
    pub verify: VerifyStatus,
    /// Set while the extent map can't be written: then a power cut may lose the knowledge of what
    /// has to be copied.
    pub map_trouble: Option<String>,
    /// Bytes of extents that would have to be copied after a power cut.
    pub hot: ByteLen,
    /// The last transaction that got its place.
    pub captured: Lsn,
    /// Up to here everything lies in a journal file.
    pub drained: Lsn,
    /// Up to here the journal is durable.
    pub durable: Lsn,
    /// The last sealed file.
    pub sealed: Position,
    /// Time of the oldest transaction that is in no sealed file yet.
    pub oldest_unsealed: Option<Timestamp>,
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // some errors say their cause themselves
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

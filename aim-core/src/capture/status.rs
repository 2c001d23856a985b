//! What a capture says of itself.

use crate::cursor::Position;
use crate::units::{Lsn, Timestamp};

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
    /// The disk goes on, capture does not: the mirror stays at its last good instant, and the
    /// volume needs a new copy.
    Passthrough {
        /// Why capture ended.
        reason: String,
    },
}

/// Where a capture stands. All LSNs are inclusive; 0 stands for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// Whether transactions reach the journal.
    pub state: CaptureState,
    /// Set if the source stopped uncleanly: what was in flight then may be on the disk and not on
    /// the mirror, or the other way round. Says when and why.
    pub uncertain: Option<String>,
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

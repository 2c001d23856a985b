//! What may be set for each line to a mirror host.

use std::num::NonZeroUsize;

use aim_core::packed::Level;

use crate::transport::Bandwidth;

/// Most files that go over one line at once.
pub const CHANNELS_MAX: usize = 64;

/// How files go over one line: everything that a target may set for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Files that are on their way at once, at most [`CHANNELS_MAX`]. Over SSH each goes on a
    /// channel of its own, one more is for looking at the far side, and they become fewer where
    /// the server grants fewer: OpenSSH ten, unless its `MaxSessions` says otherwise.
    pub channels: NonZeroUsize,
    /// How much work is spent on packing the files; `None`: they go as they are.
    pub compression: Option<Level>,
    /// How fast all files together may go.
    pub bandwidth: Bandwidth,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            channels: const { NonZeroUsize::new(8).expect("not 0") },
            compression: None,
            bandwidth: Bandwidth::default(),
        }
    }
}

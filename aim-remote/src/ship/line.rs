//! What may be set for each line to a mirror host.

use std::num::NonZeroUsize;

/// Most files that go over one line at once.
///
/// OpenSSH lets a connection have ten channels unless its `MaxSessions` says otherwise, and one is
/// needed for looking at the far side.
pub const CHANNELS_MAX: usize = 64;

/// How files go over one line: everything that a target may set for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Files that are on their way at once, at most [`CHANNELS_MAX`]. Over SSH each goes on a
    /// channel of its own: an OpenSSH server takes 2 MiB a round trip on each.
    pub channels: NonZeroUsize,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            channels: const { NonZeroUsize::new(8).expect("not 0") },
        }
    }
}

//! Mechanisms that are taken away, to show that the simulator notices.

use crate::mirror::Mirror;
use crate::plan::Event;
use crate::source::Source;

/// A mechanism that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Ranges are unlocked before their I/O is done.
    RangeLock,
    /// The mirror's disks are never synced.
    MirrorDiskSync,
}

impl Broken {
    pub(crate) const ALL: &[Self] = &[Self::RangeLock, Self::MirrorDiskSync];

    /// Whether an event may be in a run with it.
    pub(crate) fn allows(self, _event: Event) -> bool {
        true
    }

    pub(crate) fn apply(self, _source: &Source, mirror: &Mirror) {
        match self {
            Self::RangeLock => {}
            Self::MirrorDiskSync => mirror.disks.skip_syncs(),
        }
    }
}

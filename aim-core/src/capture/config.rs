//! What a capture can be told.

use std::time::Duration;

use super::StagingConfig;
use crate::units::ByteLen;

/// When an open journal file is sealed, and so becomes ready to be shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPolicy {
    /// Size of the Data portion at which the file is full.
    pub bytes: ByteLen,
    /// Age of its first transaction at which it is sealed however small it is.
    pub age: Duration,
}

impl Default for SealPolicy {
    /// 16 MiB or one second.
    fn default() -> Self {
        Self {
            bytes: ByteLen(16 << 20),
            age: Duration::from_secs(1),
        }
    }
}

/// How much room the journal may take, and what happens when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPolicy {
    /// Bytes that journal files may take on the source; `None`: whatever the file system has.
    pub bytes: Option<ByteLen>,
    /// What happens to writers when it has no room.
    pub on_full: OnFull,
}

/// What happens to writers when the journal has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They go on: what they change is noted, and copied when there is room again.
    #[default]
    Track,
    /// They wait until there is room.
    Block,
}

/// How long extents that were written to count as hot: where writes go on without waiting for the
/// extent map, and what has to be compared after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotPolicy {
    /// Time after the last write to an extent for which it stays hot.
    pub age: Duration,
    /// Where more than this is hot, in whole extents, whatever was not written to for a moment
    /// cools. Up to half of it, what lies around writes that come close together is hot as well.
    pub bytes: ByteLen,
}

impl Default for HotPolicy {
    /// One minute, or 4 GiB.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(60),
            bytes: ByteLen(4 << 30),
        }
    }
}

/// How fast the workers read the disk, in bytes a second; `None`: as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// To copy what the mirror lacks.
    pub resync: Option<ByteLen>,
    /// To verify what the mirror has.
    pub verify: Option<ByteLen>,
}

/// How a volume is captured.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// The staging ring.
    pub staging: StagingConfig,
    /// When journal files are sealed.
    pub seal: SealPolicy,
    /// Room for journal files.
    pub journal: JournalPolicy,
    /// Which parts of the disk stay hot.
    pub hot: HotPolicy,
    /// How fast the disk is read besides.
    pub rates: Rates,
    /// Whether a resync first asks what the mirror holds, and copies only what differs. Not where
    /// nobody carries answers back.
    pub compare: bool,
    /// Verify all of the disk again and again, once in so much time; `None`: only when asked.
    pub verify_every: Option<Duration>,
}

impl CaptureConfig {
    /// This staging, and the defaults for the rest.
    pub fn new(staging: StagingConfig) -> Self {
        Self {
            staging,
            seal: SealPolicy::default(),
            journal: JournalPolicy::default(),
            hot: HotPolicy::default(),
            rates: Rates::default(),
            compare: false,
            verify_every: None,
        }
    }
}

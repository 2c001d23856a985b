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

/// How a volume is captured.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// The staging ring.
    pub staging: StagingConfig,
    /// When journal files are sealed.
    pub seal: SealPolicy,
}

impl CaptureConfig {
    /// This staging, and the default sealing.
    pub fn new(staging: StagingConfig) -> Self {
        Self {
            staging,
            seal: SealPolicy::default(),
        }
    }
}

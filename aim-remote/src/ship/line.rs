//! What may be set for each line to a mirror host.

use std::num::NonZeroUsize;

use aim_core::packed::Level;

use crate::transport::{Bandwidth, SftpTransport};

/// How files go over one line: everything that a target may set for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Files that are on their way at once.
    pub files: NonZeroUsize,
    /// How much work is spent on packing the files; `None`: they go as they are.
    pub compression: Option<Level>,
    /// How fast all files together may go.
    pub bandwidth: Bandwidth,
}

impl LineOptions {
    /// For a line of so many channels: twice as many files, as each spends a part of its time in
    /// waiting for answers.
    pub fn over_channels(channels: NonZeroUsize) -> Self {
        Self {
            files: channels.saturating_add(channels.get()),
            compression: None,
            bandwidth: Bandwidth::default(),
        }
    }
}

impl Default for LineOptions {
    fn default() -> Self {
        Self::over_channels(SftpTransport::CHANNELS)
    }
}

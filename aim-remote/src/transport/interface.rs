//! What every transport can do.

use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Bandwidth, Name, TransportError};
use crate::coordinator::Throttle;
use crate::file_io::Source;

/// Carries whole files to and from one directory on the far side.
///
/// All methods may run at once. A transport connects when it is first needed and again after a
/// connection was lost; it never retries by itself: that is its user's decision.
pub trait Transport: Debug + Send + Sync + 'static {
    /// The far directory, for messages: `user@host:port:/dir`, or a path.
    fn place(&self) -> String;

    /// The regular files in a sub-folder of the far directory, or in itself for `""`, in no
    /// order. Files that are still arriving are among them, as `NAME.part`.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotFound`] if there is no such folder.
    fn list(&self, folder: &str)
    -> impl Future<Output = Result<Vec<Entry>, TransportError>> + Send;

    /// Stores a file, replacing one of the same name.
    ///
    /// When it returns, the file *and* its name are durable on the far side. Until then no file
    /// of that name is seen there with part of the content: it arrives as `NAME.part`. What an
    /// interrupted call left there is continued where it is the same as the source. A file that
    /// is already there with the same content is left alone.
    fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> impl Future<Output = Result<Put, TransportError>> + Send;

    /// Reads a whole small file.
    ///
    /// # Errors
    ///
    /// [`TransportError::NotFound`], and [`TransportError::TooLarge`] past `limit` bytes.
    fn get(
        &self,
        name: &Name,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;

    /// Removes a file, durably. A file that is not there is removed already.
    fn remove(&self, name: &Name) -> impl Future<Output = Result<(), TransportError>> + Send;
}

/// A transport that also brings large files back.
pub trait ReadAt: Transport {
    /// Reads `len` bytes of a file from `offset` on; fewer where it ends before, which it must
    /// not do at `offset` already.
    fn read_at(
        &self,
        name: &Name,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

/// A file in a far folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Without the folder.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
}

/// What a successful [`Transport::put`] had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Bytes that went over the line.
    pub sent: u64,
    /// Bytes that were there already and were found to be the same.
    pub reused: u64,
}

/// How far uploads have come: one of them, or several together. May be watched from another
/// thread. It also says how fast they may go on.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    reused: AtomicU64,
    throttle: Throttle,
}

impl Progress {
    /// Bytes that the far side has acknowledged, reused ones among them. Not yet durable.
    pub fn acknowledged(&self) -> u64 {
        self.sent() + self.reused.load(Ordering::Relaxed)
    }

    /// Bytes among them that went over the line.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Progress of uploads that together stay below a bandwidth.
    pub fn throttled(bandwidth: Bandwidth) -> Self {
        Self {
            throttle: Throttle::new(bandwidth),
            ..Self::default()
        }
    }

    /// Waits until so many bytes more may be sent.
    pub(crate) async fn admit(&self, bytes: u64) {
        self.throttle.admit(bytes).await;
    }

    pub(crate) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
    }
}

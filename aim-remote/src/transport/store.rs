//! A place in a bucket of an S3-compatible object store as the far side.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

use super::name::is_component;
use super::{Entry, Name, Progress, Put, ReadAt, Transport, TransportError};
use crate::file_io::Source;
use crate::store::{self, Bucket, PIECES_MAX, StoreTarget, Unfinished, Way};

/// A place in a bucket of an S3-compatible object store. The bucket must exist; there are no
/// folders: one that holds nothing is empty.
///
/// What is already there is compared byte by byte, since no checksum is kept alike by all stores.
pub struct StoreTransport {
    target: StoreTarget,
    /// Opened when first needed; emptied when its credentials are refused, to be read again.
    bucket: Mutex<Option<Arc<Bucket>>>,
    room: Arc<Semaphore>,
    unfinished: Unfinished,
}

impl StoreTransport {
    /// Files that are on their way at once unless told otherwise: each spends a part of its time
    /// in waiting for answers.
    pub const FILES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(8).expect("not 0");

    /// Carries files to a place in a bucket.
    pub fn new(target: StoreTarget) -> Self {
        Self {
            target,
            bucket: Mutex::new(None),
            room: Arc::new(Semaphore::new(PIECES_MAX)),
            unfinished: Unfinished::default(),
        }
    }

    async fn bucket(&self) -> Result<Arc<Bucket>, TransportError> {
        let mut bucket = self.bucket.lock().await;
        if let Some(bucket) = &*bucket {
            return Ok(Arc::clone(bucket));
        }
        let opened = Arc::new(Bucket::open(&self.target)?);
        *bucket = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn settle<T>(&self, result: Result<T, TransportError>) -> Result<T, TransportError> {
        if let Err(TransportError::AuthenticationRefused { .. }) = &result {
            *self.bucket.lock().await = None;
        }
        result
    }

    async fn read(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let bucket = self.bucket().await?;
        let mut content = bucket.read(name.as_str()).await?;
        let mut read = Vec::new();
        let is_too_large = |len: u64| len > limit as u64;
        let mut is_over = is_too_large(content.len);
        while !is_over && let Some(bytes) = content.next().await? {
            read.extend_from_slice(&bytes);
            is_over = is_too_large(read.len() as u64);
        }
        match is_over {
            false => Ok(read),
            true => Err(TransportError::TooLarge {
                place: self.target.place(name.as_str()),
                limit,
            }),
        }
    }

    async fn write(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let way = Way {
            bucket: &self.bucket().await?,
            room: &self.room,
            unfinished: &self.unfinished,
        };
        store::put(way, name.as_str(), source, progress).await
    }
}

impl fmt::Debug for StoreTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreTransport({})", self.place())
    }
}

impl ReadAt for StoreTransport {
    async fn read_at(
        &self,
        name: &Name,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let bucket = self.bucket().await?;
        let read = bucket.read_at(name.as_str(), offset, len).await;
        self.settle(read).await
    }
}

impl Transport for StoreTransport {
    fn place(&self) -> String {
        self.target.shown()
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        if !folder.is_empty() && !is_component(folder) {
            let place = self.target.place(folder);
            return Err(TransportError::NotFound { place });
        }
        let bucket = self.bucket().await?;
        self.settle(bucket.list(folder).await).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let stored = self.write(name, source, progress).await;
        self.settle(stored).await
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let content = self.read(name, limit).await;
        self.settle(content).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        let bucket = self.bucket().await?;
        let given_up = self.unfinished.give_up(&bucket, name.as_str()).await;
        self.settle(given_up).await?;
        self.settle(bucket.remove(name.as_str()).await).await
    }
}

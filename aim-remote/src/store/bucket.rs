//! A bucket that is reached: every request to it, each within its limit.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, MultipartId, ObjectStore, PutOptions, PutPayload, RetryConfig,
};
use tokio::time::timeout;

use super::StoreTarget;
use super::credentials::AccessKey;
use super::failure::{Asked, failure};
use crate::transport::{Entry, TransportError};

/// A bucket, with the credentials as they were read.
pub(crate) struct Bucket {
    store: AmazonS3,
    target: StoreTarget,
    /// The server, for messages.
    host: String,
    user: String,
    /// Bytes of content that are on their way to it.
    on_way: AtomicU64,
}

impl Bucket {
    /// Reads the credentials. Nothing is asked of the server yet.
    pub(crate) fn open(target: &StoreTarget) -> Result<Self, TransportError> {
        let host = target.host();
        let key = AccessKey::read(&target.credentials).map_err(|reason| {
            let host = host.clone();
            TransportError::Credentials { host, reason }
        })?;
        // a try that fails is for the coordinator to repeat, which knows what else there is to do
        let no_retries = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let options = ClientOptions::new()
            .with_allow_http(target.allow_http)
            .with_connect_timeout(target.limits.answer)
            .with_timeout_disabled();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&target.bucket)
            .with_region(&target.region)
            .with_access_key_id(&key.id)
            .with_secret_access_key(&key.secret)
            .with_client_options(options)
            // not every store can delete several at once, and here it is always one
            .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
            .with_retry(no_retries);
        if let Some(token) = &key.token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &target.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let built = builder.build();
        let store = built.map_err(|error| TransportError::Refused {
            place: target.place(""),
            reason: error.to_string(),
        })?;
        Ok(Self {
            store,
            target: target.clone(),
            host,
            user: key.id,
            on_way: AtomicU64::new(0),
        })
    }

    /// The objects directly in a folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        let prefix = self.key(folder)?;
        let listing = self.store.list_with_delimiter(Some(&prefix));
        let listed = self.ask(folder, "listing a folder", 0, listing).await?;
        let entry = |meta: object_store::ObjectMeta| {
            let name = meta.location.filename()?.to_owned();
            Some(Entry {
                name,
                len: meta.size,
            })
        };
        Ok(listed.objects.into_iter().filter_map(entry).collect())
    }

    /// The content of an object, and its length.
    pub(crate) async fn read(&self, name: &str) -> Result<Content<'_>, TransportError> {
        let key = self.key(name)?;
        let getting = self.store.get_opts(&key, GetOptions::default());
        let found = self.ask(name, "reading a file", 0, getting).await?;
        Ok(Content {
            bucket: self,
            name: name.to_owned(),
            len: found.meta.size,
            stream: found.into_stream().map_ok(|bytes| bytes.to_vec()).boxed(),
        })
    }

    /// A part of the content of an object, which must begin inside of it.
    pub(crate) async fn read_at(
        &self,
        name: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let key = self.key(name)?;
        let reading = async {
            let range = offset..offset.saturating_add(len as u64);
            let options = GetOptions::new().with_range(Some(range));
            self.store.get_opts(&key, options).await?.bytes().await
        };
        let bytes = self
            .ask(name, "reading a file", len as u64, reading)
            .await?;
        Ok(bytes.to_vec())
    }

    /// Stores an object in one request, durably.
    pub(crate) async fn write(&self, name: &str, content: Vec<u8>) -> Result<(), TransportError> {
        let key = self.key(name)?;
        let len = content.len() as u64;
        let payload = PutPayload::from(content);
        let putting = self.store.put_opts(&key, payload, PutOptions::default());
        self.ask(name, "storing a file", len, putting).await?;
        Ok(())
    }

    /// Removes an object, durably; one that is not there is removed already.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), TransportError> {
        let key = self.key(name)?;
        let one = futures_util::stream::once(async { Ok(key) }).boxed();
        let mut removing = self.store.delete_stream(one);
        let removed = async { removing.next().await.transpose() };
        match self.ask(name, "removing a file", 0, removed).await {
            Ok(_) => Ok(()),
            Err(TransportError::NotFound { place }) if place != self.target.place("") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins an object that comes in parts.
    pub(crate) async fn begin(&self, name: &str) -> Result<MultipartId, TransportError> {
        let key = self.key(name)?;
        let beginning = self.store.create_multipart(&key);
        self.ask(name, "beginning a file", 0, beginning).await
    }

    /// Stores a part of it.
    pub(crate) async fn write_part(
        &self,
        name: &str,
        id: &MultipartId,
        index: usize,
        content: Vec<u8>,
    ) -> Result<PartId, TransportError> {
        let key = self.key(name)?;
        let len = content.len() as u64;
        let payload = PutPayload::from(content);
        let putting = self.store.put_part(&key, id, index, payload);
        self.ask(name, "storing a part of a file", len, putting)
            .await
    }

    /// Makes these parts the object, durably.
    pub(crate) async fn complete(
        &self,
        name: &str,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<(), TransportError> {
        let key = self.key(name)?;
        let completing = self.store.complete_multipart(&key, id, parts);
        self.ask(name, "completing a file", 0, completing).await?;
        Ok(())
    }

    /// Gives up an object that comes in parts; one that is not known is given up already.
    pub(crate) async fn abort(&self, name: &str, id: &MultipartId) -> Result<(), TransportError> {
        let key = self.key(name)?;
        let aborting = self.store.abort_multipart(&key, id);
        match self.ask(name, "giving up a file", 0, aborting).await {
            Err(TransportError::NotFound { place }) if place != self.target.place("") => Ok(()),
            done => done,
        }
    }

    fn key(&self, name: &str) -> Result<Path, TransportError> {
        let parts = [self.target.prefix.as_str(), name];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Path::parse(parts.join("/")).map_err(|error| TransportError::Refused {
            place: self.target.place(name),
            reason: error.to_string(),
        })
    }

    /// Waits for an answer: so long as the store may take for it, and for all content that is on
    /// its way together, `bytes` of it that of this request.
    async fn ask<T>(
        &self,
        name: &str,
        doing: &'static str,
        bytes: u64,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, TransportError> {
        let _on_way = OnWay::new(&self.on_way, bytes);
        let limits = self.target.limits;
        let content = self.on_way.load(Ordering::Relaxed) / limits.slowest.max(1);
        let after = limits.answer + Duration::from_secs(content);
        match timeout(after, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failure(name, &error)),
            Err(_) => Err(TransportError::Timeout {
                host: self.host.clone(),
                doing,
                after,
            }),
        }
    }

    fn failure(&self, name: &str, error: &object_store::Error) -> TransportError {
        let asked = Asked {
            host: &self.host,
            bucket: &self.target.place(""),
            place: &self.target.place(name),
            region: &self.target.region,
            user: &self.user,
        };
        failure(asked, error)
    }
}

/// Bytes that are on their way until it is dropped.
struct OnWay<'a>(&'a AtomicU64, u64);

impl<'a> OnWay<'a> {
    fn new(count: &'a AtomicU64, bytes: u64) -> Self {
        count.fetch_add(bytes, Ordering::Relaxed);
        Self(count, bytes)
    }
}

impl Drop for OnWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// The content of an object as it comes.
pub(crate) struct Content<'a> {
    bucket: &'a Bucket,
    name: String,
    /// Of the whole object.
    pub(crate) len: u64,
    stream: BoxStream<'static, object_store::Result<Vec<u8>>>,
}

impl Content<'_> {
    /// The next bytes of it; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let next = self.stream.next();
        let next = async { next.await.transpose() };
        self.bucket.ask(&self.name, "reading a file", 0, next).await
    }
}

impl StoreTarget {
    /// The server, for messages.
    fn host(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => {
                let host = endpoint
                    .split_once("://")
                    .map_or(&**endpoint, |(_, host)| host);
                host.trim_end_matches('/').to_owned()
            }
            None => format!("s3.{}.amazonaws.com", self.region),
        }
    }

    /// The place itself, for messages.
    pub(crate) fn shown(&self) -> String {
        self.at(&[&self.bucket, &self.prefix])
    }

    /// A file or folder in it, or the bucket for `""`, for messages.
    pub(crate) fn place(&self, name: &str) -> String {
        match name {
            "" => self.at(&[&self.bucket]),
            name => self.at(&[&self.bucket, &self.prefix, name]),
        }
    }

    fn at(&self, parts: &[&str]) -> String {
        let parts: Vec<_> = parts
            .iter()
            .copied()
            .filter(|part| !part.is_empty())
            .collect();
        let path = parts.join("/");
        match &self.endpoint {
            Some(_) => format!("s3://{path} at {}", self.host()),
            None => format!("s3://{path}"),
        }
    }
}

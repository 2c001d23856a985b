//! A directory behind an SSH server as the far side.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::link::Link;
use super::name::is_component;
use super::{Entry, Name, Progress, Put, Transport, TransportError};
use crate::file_io::Source;
use crate::sftp;
use crate::ssh::SshTarget;

/// A directory on any OpenSSH server. The account needs no shell: `internal-sftp` will do.
pub struct SftpTransport {
    target: SshTarget,
    directory: String,
    channels: NonZeroUsize,
    /// Connected when first needed; emptied when it is of no more use.
    link: Mutex<Option<Arc<Link>>>,
}

impl SftpTransport {
    /// Channels for files that a connection has unless told otherwise: with the one for small
    /// requests less than the ten that an OpenSSH server grants.
    pub const CHANNELS: NonZeroUsize = NonZeroUsize::new(8).expect("not 0");

    /// Carries files to `directory` on `target`; one without a leading `/` is taken from where
    /// the account starts.
    pub fn new(target: SshTarget, directory: impl Into<String>) -> Self {
        Self {
            target,
            directory: directory.into(),
            channels: Self::CHANNELS,
            link: Mutex::new(None),
        }
    }

    /// Has so many channels for files, as far as the server grants them. One more is for small
    /// requests; an OpenSSH server grants ten in all, unless its `MaxSessions` says otherwise.
    #[must_use]
    pub fn with_channels(self, channels: NonZeroUsize) -> Self {
        Self { channels, ..self }
    }

    async fn link(&self) -> Result<Arc<Link>, TransportError> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok(Arc::clone(link));
        }
        let opened = Arc::new(Link::open(&self.target, self.channels.get()).await?);
        *link = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives the link up after an error that makes it useless, so that the next call connects.
    async fn settle<T>(
        &self,
        used: &Arc<Link>,
        result: Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        let error = match result {
            Err(error) if error.breaks_connection() => error,
            result => return result,
        };
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, used)) {
            *link = None;
        }
        drop(link);
        Err(used.explain(error).await)
    }

    /// The far directory as a path.
    fn folder(&self) -> String {
        match self.directory.as_str() {
            "" => ".".to_owned(),
            directory => directory.to_owned(),
        }
    }

    async fn put_over(
        &self,
        link: &Link,
        path: &str,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let lease = link.lease().await?;
        let stored = sftp::put(lease.session(), link.writes(), path, source, progress).await?;
        lease.done();
        Ok(stored)
    }

    fn path(&self, name: &str) -> String {
        match self.directory.trim_end_matches('/') {
            "" if self.directory.is_empty() => name.to_owned(),
            directory => format!("{directory}/{name}"),
        }
    }
}

/// What [`SftpTransport::survey`] finds out.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Type and fingerprint of the accepted host key; `None` where another program checks it.
    pub host_key: Option<String>,
    /// What we logged in with; `None` where another program does that.
    pub login: Option<String>,
    /// SFTP extensions that the server offers, sorted by name.
    pub extensions: Vec<String>,
    /// Bytes that the account may still write; `None` where the server does not say.
    pub free_bytes: Option<u64>,
    /// The median time from a question to its answer.
    pub round_trip: Duration,
}

impl SftpTransport {
    /// Connects, and asks what the server and the line are like.
    pub async fn survey(&self) -> Result<Survey, TransportError> {
        let link = self.link().await?;
        let folder = self.folder();
        let asking = async {
            Ok(Survey {
                host_key: link.connection().host_key().map(str::to_owned),
                login: link.connection().login().map(str::to_owned),
                extensions: link.small().extensions().to_vec(),
                free_bytes: link.small().free_bytes(&folder).await?,
                round_trip: link.small().round_trip(&folder).await?,
            })
        };
        let survey = asking.await;
        self.settle(&link, survey).await
    }
}

impl fmt::Debug for SftpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SftpTransport({})", self.place())
    }
}

impl Transport for SftpTransport {
    fn place(&self) -> String {
        let target = &self.target;
        format!("{}@{}:{}", target.user, target.address(), self.directory)
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        let path = match folder {
            "" => self.folder(),
            folder => self.path(folder),
        };
        if !folder.is_empty() && !is_component(folder) {
            return Err(TransportError::NotFound { place: path });
        }
        let link = self.link().await?;
        let listed = link.small().list(&path).await;
        self.settle(&link, listed).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let link = self.link().await?;
        let path = self.path(name.as_str());
        let stored = self.put_over(&link, &path, source, progress).await;
        self.settle(&link, stored).await
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let link = self.link().await?;
        let content = link.small().get(&self.path(name.as_str()), limit).await;
        self.settle(&link, content).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        let link = self.link().await?;
        let removed = link.small().remove(&self.path(name.as_str())).await;
        self.settle(&link, removed).await
    }
}

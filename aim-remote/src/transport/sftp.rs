//! A directory behind an SSH server as the far side.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::link::{Lease, Link};
use super::name::is_component;
use super::{Entry, Name, Progress, Put, Transport, TransportError};
use crate::file_io::Source;
use crate::sftp;
use crate::ssh::SshTarget;

/// A directory on any OpenSSH server. The account needs no shell: `internal-sftp` will do.
pub struct SftpTransport {
    target: SshTarget,
    directory: String,
    /// Connected when first needed; emptied when it is of no more use.
    link: Mutex<Option<Arc<Link>>>,
}

impl SftpTransport {
    /// Carries files to `directory` on `target`; one without a leading `/` is taken from where
    /// the account starts.
    pub fn new(target: SshTarget, directory: impl Into<String>) -> Self {
        Self {
            target,
            directory: directory.into(),
            link: Mutex::new(None),
        }
    }

    async fn link(&self) -> Result<Arc<Link>, TransportError> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok(Arc::clone(link));
        }
        let opened = Arc::new(Link::open(&self.target).await?);
        *link = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives a session back after its work, or the whole link up after an error that makes it
    /// useless, so that the next call connects.
    async fn settle<T>(
        &self,
        link: &Arc<Link>,
        lease: Lease<'_>,
        result: Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        match &result {
            Err(error) if error.breaks_connection() => self.give_up(link).await,
            _ => lease.give_back(),
        }
        result
    }

    async fn give_up(&self, used: &Arc<Link>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, used)) {
            *link = None;
        }
    }

    /// A session on `link`; where none can be had, the next call connects.
    async fn lease<'a>(&self, link: &'a Arc<Link>) -> Result<Lease<'a>, TransportError> {
        let leased = link.lease().await;
        if leased.is_err() {
            self.give_up(link).await;
        }
        leased
    }

    fn path(&self, name: &str) -> String {
        match self.directory.trim_end_matches('/') {
            "" if self.directory.is_empty() => name.to_owned(),
            directory => format!("{directory}/{name}"),
        }
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
            "" if self.directory.is_empty() => ".".to_owned(),
            "" => self.directory.clone(),
            folder => self.path(folder),
        };
        if !folder.is_empty() && !is_component(folder) {
            return Err(TransportError::NotFound { place: path });
        }
        let link = self.link().await?;
        let lease = self.lease(&link).await?;
        let listed = lease.session().list(&path).await;
        self.settle(&link, lease, listed).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let link = self.link().await?;
        let lease = self.lease(&link).await?;
        let path = self.path(name.as_str());
        let stored = sftp::put(lease.session(), link.writes(), &path, source, progress).await;
        self.settle(&link, lease, stored).await
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let link = self.link().await?;
        let lease = self.lease(&link).await?;
        let content = lease.session().get(&self.path(name.as_str()), limit).await;
        self.settle(&link, lease, content).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        let link = self.link().await?;
        let lease = self.lease(&link).await?;
        let removed = lease.session().remove(&self.path(name.as_str())).await;
        self.settle(&link, lease, removed).await
    }
}

//! A directory behind an SSH server as the far side.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::name::is_component;
use super::{Entry, Name, Progress, Put, Transport, TransportError};
use crate::file_io::Source;
use crate::sftp::{self, Session};
use crate::ssh::{Connection, SshTarget};

/// A directory on any OpenSSH server. The account needs no shell: `internal-sftp` will do.
pub struct SftpTransport {
    target: SshTarget,
    directory: String,
    /// Connected when first needed; emptied when it is of no more use.
    link: Mutex<Option<Arc<Link>>>,
}

/// A connection and the session on it.
struct Link {
    session: Session,
    connection: Connection,
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
        let connection = Connection::open(&self.target).await?;
        let stream = connection.sftp_stream().await?;
        let starting = Session::start(
            stream,
            connection.address(),
            connection.start_timeout(),
            self.target.timeouts.progress,
        );
        let session = match starting.await {
            Ok(session) => session,
            Err(error) => return Err(connection.explain(error).await),
        };
        tracing::debug!(host = connection.address(), "connected");
        let opened = Arc::new(Link {
            session,
            connection,
        });
        *link = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives the link up after an error that makes it useless, so that the next call connects.
    async fn settle<T>(
        &self,
        used: Arc<Link>,
        result: Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        let error = match result {
            Err(error) if error.breaks_connection() => error,
            result => return result,
        };
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, &used)) {
            *link = None;
        }
        drop(link);
        Err(used.connection.explain(error).await)
    }

    /// The far directory as a path.
    fn folder(&self) -> String {
        match self.directory.as_str() {
            "" => ".".to_owned(),
            directory => directory.to_owned(),
        }
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
                host_key: link.connection.host_key().map(str::to_owned),
                login: link.connection.login().map(str::to_owned),
                extensions: link.session.extensions().to_vec(),
                free_bytes: link.session.free_bytes(&folder).await?,
                round_trip: link.session.round_trip(&folder).await?,
            })
        };
        let survey = asking.await;
        self.settle(link, survey).await
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
        let listed = link.session.list(&path).await;
        self.settle(link, listed).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let link = self.link().await?;
        let stored = sftp::put(&link.session, &self.path(name.as_str()), source, progress).await;
        self.settle(link, stored).await
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let link = self.link().await?;
        let content = link.session.get(&self.path(name.as_str()), limit).await;
        self.settle(link, content).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        let link = self.link().await?;
        let removed = link.session.remove(&self.path(name.as_str())).await;
        self.settle(link, removed).await
    }
}

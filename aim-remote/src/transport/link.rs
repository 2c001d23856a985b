//! A connection, and the SFTP sessions on it: each has a channel of its own.
//!
//! A server works on the requests of a session one after the other, and an OpenSSH server takes no
//! more than 2 MiB a round trip on a channel. So whoever has something to do gets a session for
//! itself: one that nobody uses, or a new one, for as long as the server grants channels.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::TransportError;
use crate::sftp::{Session, WRITES_MAX};
use crate::ssh::{Connection, SshTarget};

/// A connection and its sessions.
pub(super) struct Link {
    connection: Connection,
    target: SshTarget,
    sessions: Mutex<Sessions>,
    /// Someone may get a session now.
    freed: Notify,
    /// A permit for each write that is in flight, on whichever channel.
    writes: Arc<Semaphore>,
}

struct Sessions {
    idle: Vec<Session>,
    /// The idle ones, those in use, and those that are being started.
    count: usize,
    /// What the server has been found to grant.
    most: usize,
}

/// What there is for someone who needs a session.
enum Offer<'a> {
    Idle(Lease<'a>),
    /// A new one may be started.
    New(Place<'a>),
    /// One has to be waited for.
    None,
}

impl Link {
    /// Connects, and starts a first session.
    pub(super) async fn open(target: &SshTarget) -> Result<Self, TransportError> {
        let link = Self {
            connection: Connection::open(target).await?,
            target: target.clone(),
            sessions: Mutex::new(Sessions {
                idle: Vec::new(),
                count: 0,
                most: usize::MAX,
            }),
            freed: Notify::new(),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
        };
        link.lease().await?.give_back();
        tracing::debug!(host = link.connection.address(), "connected");
        Ok(link)
    }

    /// A session for the caller alone.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, TransportError> {
        loop {
            let freed = self.freed.notified();
            match self.offer() {
                Offer::Idle(lease) => return Ok(lease),
                Offer::New(place) => match self.start().await {
                    Ok(session) => return Ok(Lease { session, place }),
                    Err(error) if error.breaks_connection() || !self.has_others() => {
                        return Err(error);
                    }
                    Err(error) => tracing::info!(%error, "going on with the channels there are"),
                },
                Offer::None => freed.await,
            }
        }
    }

    /// Permits for writes.
    pub(super) fn writes(&self) -> &Arc<Semaphore> {
        &self.writes
    }

    async fn start(&self) -> Result<Session, TransportError> {
        let stream = self.connection.sftp_stream().await?;
        let limit = self.target.timeouts.progress;
        Session::start(stream, self.connection.address(), limit).await
    }

    fn offer(&self) -> Offer<'_> {
        let mut sessions = self.lock();
        if let Some(session) = sessions.idle.pop() {
            if !sessions.idle.is_empty() {
                self.freed.notify_one();
            }
            let place = Place(self);
            return Offer::Idle(Lease { session, place });
        }
        if sessions.count < sessions.most {
            sessions.count += 1;
            return Offer::New(Place(self));
        }
        Offer::None
    }

    /// The server has refused one more session: whether there are others to go on with.
    fn has_others(&self) -> bool {
        let mut sessions = self.lock();
        let others = sessions.count.saturating_sub(1);
        if others > 0 {
            sessions.most = sessions.most.min(others);
        }
        others > 0
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session in use. Where it is not given back, requests of it may still be on their way, and it
/// is used no more.
pub(super) struct Lease<'a> {
    session: Session,
    place: Place<'a>,
}

impl Lease<'_> {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Nothing of it is on its way any more.
    pub(super) fn give_back(self) {
        let Self { session, place } = self;
        let link = place.0;
        place.keep();
        link.lock().idle.push(session);
        link.freed.notify_one();
    }
}

/// A session that is counted; dropped, it is not any more.
struct Place<'a>(&'a Link);

impl Place<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().count -= 1;
        self.0.freed.notify_one();
    }
}

//! A connection, and the SFTP sessions on it: each has a channel of its own.
//!
//! A server works on the requests of a session one after the other, and an OpenSSH server takes no
//! more than 2 MiB a round trip on a channel. So small requests have a session for themselves, and
//! files have as many as are wanted, as long as the server grants them. A file spends a part of
//! its time in waiting for answers: there may be more files than sessions, which then share them.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::TransportError;
use crate::sftp::{Session, WRITES_MAX};
use crate::ssh::{Connection, SshTarget};

/// A connection and its sessions.
pub(super) struct Link {
    connection: Connection,
    target: SshTarget,
    /// For small requests.
    small: Arc<Session>,
    sessions: Mutex<Sessions>,
    /// A session for files has started, or could not.
    started: Notify,
    /// A permit for each write that is in flight, on whichever channel.
    writes: Arc<Semaphore>,
}

/// The sessions for files.
struct Sessions {
    slots: Vec<Slot>,
    /// Those that are being started.
    starting: usize,
    /// As many as are wanted, or granted.
    most: usize,
}

struct Slot {
    session: Arc<Session>,
    users: usize,
    /// Someone has left it in the middle: it is given to nobody any more.
    is_left: bool,
}

/// What there is for a file.
enum Offer<'a> {
    Session(Lease<'a>),
    /// A new one may be started.
    Start(Starting<'a>),
    /// One that is being started has to be waited for.
    Wait,
}

impl Link {
    /// Connects, and starts the session for small requests. There may be `channels` for files;
    /// none where each would be another login of the user's own program.
    pub(super) async fn open(target: &SshTarget, channels: usize) -> Result<Self, TransportError> {
        let connection = Connection::open(target).await?;
        let small = Arc::new(start(&connection, target).await?);
        tracing::debug!(host = connection.address(), "connected");
        let most = if connection.has_channels() {
            channels
        } else {
            0
        };
        Ok(Self {
            connection,
            target: target.clone(),
            small,
            sessions: Mutex::new(Sessions {
                slots: Vec::new(),
                starting: 0,
                most,
            }),
            started: Notify::new(),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
        })
    }

    /// The session for small requests.
    pub(super) fn small(&self) -> &Session {
        &self.small
    }

    /// The connection that all sessions are on.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Adds to an error what only the maker of the connection knows.
    pub(super) async fn explain(&self, error: TransportError) -> TransportError {
        self.connection.explain(error).await
    }

    /// Permits for writes.
    pub(super) fn writes(&self) -> &Arc<Semaphore> {
        &self.writes
    }

    /// A session for a file: one that no other file uses, or else the one that the fewest use.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, TransportError> {
        loop {
            let mut started = pin!(self.started.notified());
            // from here on no start is missed
            started.as_mut().enable();
            match self.offer() {
                Offer::Session(lease) => return Ok(lease),
                Offer::Wait => started.await,
                Offer::Start(starting) => match start(&self.connection, &self.target).await {
                    Ok(session) => return Ok(starting.succeed(session)),
                    Err(error) if error.breaks_connection() => return Err(error),
                    Err(error) => {
                        tracing::info!(%error, "going on with the channels there are");
                        let mut sessions = self.lock();
                        sessions.most = sessions.slots.len() + sessions.starting - 1;
                    }
                },
            }
        }
    }

    fn offer(&self) -> Offer<'_> {
        let mut sessions = self.lock();
        let Sessions {
            slots,
            starting,
            most,
        } = &mut *sessions;
        let count = slots.len() + *starting;
        let usable = slots.iter_mut().filter(|slot| !slot.is_left);
        match usable.min_by_key(|slot| slot.users) {
            Some(slot) if slot.users == 0 || count >= *most => {
                slot.users += 1;
                Offer::Session(self.lease_of(&slot.session))
            }
            _ if count < *most => {
                *starting += 1;
                Offer::Start(Starting(self))
            }
            _ if *starting > 0 => Offer::Wait,
            // there is only the one for small requests
            _ => Offer::Session(self.lease_of(&self.small)),
        }
    }

    fn lease_of(&self, session: &Arc<Session>) -> Lease<'_> {
        Lease {
            link: self,
            session: Arc::clone(session),
            is_done: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start(connection: &Connection, target: &SshTarget) -> Result<Session, TransportError> {
    let stream = connection.sftp_stream().await?;
    let starting = Session::start(
        stream,
        connection.address(),
        connection.start_timeout(),
        target.timeouts.progress,
    );
    match starting.await {
        Ok(session) => Ok(session),
        Err(error) => Err(connection.explain(error).await),
    }
}

/// A session that is being started; dropped, it is not any more.
struct Starting<'a>(&'a Link);

impl<'a> Starting<'a> {
    fn succeed(self, session: Session) -> Lease<'a> {
        let lease = self.0.lease_of(&Arc::new(session));
        self.0.lock().slots.push(Slot {
            session: Arc::clone(&lease.session),
            users: 1,
            is_left: false,
        });
        lease
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.lock().starting -= 1;
        self.0.started.notify_waiters();
    }
}

/// A session in use by a file. Where it is not said to be done, requests of it may still be on
/// their way.
pub(super) struct Lease<'a> {
    link: &'a Link,
    session: Arc<Session>,
    is_done: bool,
}

impl Lease<'_> {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Nothing of it is on its way any more.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut sessions = self.link.lock();
        let mut slots = sessions.slots.iter_mut();
        if let Some(slot) = slots.find(|slot| Arc::ptr_eq(&slot.session, &self.session)) {
            slot.users -= 1;
            slot.is_left |= !self.is_done;
        }
        sessions
            .slots
            .retain(|slot| !slot.is_left || slot.users > 0);
    }
}

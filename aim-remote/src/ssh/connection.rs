//! A connection, whoever makes it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::Client;
use super::program::Program;
use super::target::{SshTarget, Timeouts, Way};
use crate::transport::TransportError;

/// A byte stream, both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A way to a server. Dropping it ends all streams at once, also under an upload that the far
/// side does not take.
pub(crate) struct Connection {
    address: String,
    timeouts: Timeouts,
    made_by: MadeBy,
}

enum MadeBy {
    Us(Client),
    Program(Program),
}

impl Connection {
    /// Connects, checks the host key and logs in; the user's own program does so only for its
    /// first stream.
    pub(crate) async fn open(target: &SshTarget) -> Result<Self, TransportError> {
        let made_by = match &target.way {
            Way::BuiltIn(login) => MadeBy::Us(Client::open(target, login).await?),
            Way::Program(program) => MadeBy::Program(Program::new(target, program)),
        };
        Ok(Self {
            address: target.address(),
            timeouts: target.timeouts,
            made_by,
        })
    }

    /// Starts the SFTP subsystem on a channel of its own.
    pub(crate) async fn sftp_stream(&self) -> Result<Box<dyn Stream>, TransportError> {
        Ok(match &self.made_by {
            MadeBy::Us(client) => Box::new(client.sftp_stream().await?),
            MadeBy::Program(program) => Box::new(program.sftp_stream()?),
        })
    }

    /// Whether several streams share one login.
    pub(crate) fn has_channels(&self) -> bool {
        matches!(self.made_by, MadeBy::Us(_))
    }

    /// How long the first answer on a stream may take: the user's own program dials and logs in
    /// meanwhile.
    pub(crate) fn start_timeout(&self) -> Duration {
        let Timeouts {
            connect, progress, ..
        } = self.timeouts;
        match &self.made_by {
            MadeBy::Us(_) => progress,
            MadeBy::Program(_) => connect * 2 + progress,
        }
    }

    /// Adds to an error on a stream what only the maker of the connection knows.
    pub(crate) async fn explain(&self, error: TransportError) -> TransportError {
        match &self.made_by {
            MadeBy::Us(_) => error,
            MadeBy::Program(program) => program.explain(error).await,
        }
    }

    /// Type and fingerprint of the host key that was accepted, where it is known here.
    pub(crate) fn host_key(&self) -> Option<&str> {
        match &self.made_by {
            MadeBy::Us(client) => client.host_key(),
            MadeBy::Program(_) => None,
        }
    }

    /// What we logged in with, where it is known here.
    pub(crate) fn login(&self) -> Option<&str> {
        match &self.made_by {
            MadeBy::Us(client) => Some(client.login()),
            MadeBy::Program(_) => None,
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

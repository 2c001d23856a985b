//! Reaching a server and starting a byte stream on it.

use std::borrow::Cow;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::auth;
use super::known_hosts::{KnownHosts, Verdict};
use super::target::SshTarget;
use crate::transport::TransportError;

/// Signs of life that may be missed before an idle connection is given up.
const KEEPALIVES_MISSED_MAX: usize = 3;

/// A logged-in connection. Dropping it closes the socket at once, also under an upload that the
/// far side does not take.
pub(crate) struct Connection {
    handle: Handle<HostKeyCheck>,
    address: String,
    progress_timeout: Duration,
    _socket: SocketGuard,
}

impl Connection {
    /// Connects, checks the host key and logs in.
    pub(crate) async fn open(target: &SshTarget) -> Result<Self, TransportError> {
        let known_hosts = KnownHosts::read(&target.known_hosts)?;
        let (stream, socket) = dial(target).await?;
        let limit = target.timeouts.connect;
        let login = async {
            let config = Arc::new(config(target, &known_hosts));
            let check = HostKeyCheck {
                target: target.clone(),
                known_hosts,
            };
            let connecting = client::connect_stream(config, stream, check);
            let mut handle = connecting.await.map_err(|error| match error {
                ConnectError::HostKey(error) => error,
                ConnectError::Protocol(error) => lost(&target.address(), &error),
            })?;
            auth::log_in(&mut handle, target).await?;
            Ok(handle)
        };
        let handle = match timeout(limit, login).await {
            Ok(handle) => handle?,
            Err(_) => return Err(timed_out(target, "logging in")),
        };
        Ok(Self {
            handle,
            address: target.address(),
            progress_timeout: target.timeouts.progress,
            _socket: socket,
        })
    }

    /// Starts the SFTP subsystem on a channel of its own.
    pub(crate) async fn sftp_stream(
        &self,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, TransportError> {
        let start = async {
            let mut channel = self.handle.channel_open_session().await?;
            channel.request_subsystem(true, "sftp").await?;
            Ok::<_, russh::Error>(accepted(&mut channel).await.then_some(channel))
        };
        let after = self.progress_timeout;
        match timeout(after, start).await {
            Ok(Ok(Some(channel))) => Ok(channel.into_stream()),
            Ok(Ok(None)) => Err(TransportError::ServerLacks {
                host: self.address.clone(),
                extension: "the sftp subsystem",
                need: "files are carried by SFTP",
            }),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(TransportError::Refused {
                place: self.address.clone(),
                reason: format!("the server opens no further channel: {reason:?}"),
            }),
            Ok(Err(error)) => Err(lost(&self.address, &error)),
            Err(_) => Err(TransportError::Timeout {
                host: self.address.clone(),
                doing: "starting SFTP",
                after,
            }),
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

async fn accepted(channel: &mut Channel<client::Msg>) -> bool {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return true,
            Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
            Some(_) => {}
        }
    }
}

/// Closes the socket when dropped: a task that is stuck writing to it ends then.
struct SocketGuard(TcpStream);

impl Drop for SocketGuard {
    fn drop(&mut self) {
        // it may be closed already
        drop(self.0.shutdown(Shutdown::Both));
    }
}

/// Opens TCP to the first address that answers.
async fn dial(target: &SshTarget) -> Result<(tokio::net::TcpStream, SocketGuard), TransportError> {
    let unreachable = |reason: String| TransportError::Unreachable {
        host: target.address(),
        reason,
    };
    let limit = target.timeouts.connect;
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = match timeout(limit, lookup).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(timed_out(target, "looking up its name")),
    };
    let mut reasons = Vec::new();
    for address in addresses {
        match timeout(limit, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                return guarded(stream).map_err(|error| unreachable(error.to_string()));
            }
            Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
            Err(_) => reasons.push(format!("{address}: no answer in {} s", limit.as_secs_f32())),
        }
    }
    Err(unreachable(reasons.join(", ")))
}

fn guarded(stream: tokio::net::TcpStream) -> std::io::Result<(tokio::net::TcpStream, SocketGuard)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let guard = SocketGuard(stream.try_clone()?);
    Ok((tokio::net::TcpStream::from_std(stream)?, guard))
}

fn config(target: &SshTarget, known_hosts: &KnownHosts) -> client::Config {
    client::Config {
        nodelay: true,
        keepalive_interval: Some(target.timeouts.keepalive),
        keepalive_max: KEEPALIVES_MISSED_MAX,
        preferred: Preferred {
            // fastest first where there is AES hardware, which is nearly everywhere
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]),
            key: Cow::Owned(known_hosts.algorithms(&target.host, target.port)),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}

/// Accepts the host keys that are recorded, and no other.
pub(super) struct HostKeyCheck {
    target: SshTarget,
    known_hosts: KnownHosts,
}

/// Why a handshake failed.
#[derive(Debug)]
pub(super) enum ConnectError {
    Protocol(russh::Error),
    HostKey(TransportError),
}

impl From<russh::Error> for ConnectError {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl client::Handler for HostKeyCheck {
    type Error = ConnectError;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, ConnectError> {
        let key = offered.public_key();
        let target = &self.target;
        let host = target.address();
        let offers = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let refusal = match self.known_hosts.judge(&target.host, target.port, &key) {
            // certificates are not asked for, so one is no answer to what was asked
            Verdict::Accepted if offered.certificate().is_none() => return Ok(true),
            Verdict::Accepted | Verdict::Unknown => TransportError::HostKeyUnknown {
                host,
                files: (target.known_hosts.iter())
                    .map(|path| path.display().to_string())
                    .collect(),
                offered: offers,
            },
            Verdict::Changed { file, line } => TransportError::HostKeyChanged {
                host,
                file,
                line,
                offered: offers,
            },
            Verdict::Revoked { file, line } => TransportError::HostKeyRevoked {
                host,
                file,
                line,
                offered: offers,
            },
        };
        Err(ConnectError::HostKey(refusal))
    }
}

/// The connection is of no more use.
pub(super) fn lost(host: &str, error: &dyn std::fmt::Display) -> TransportError {
    TransportError::ConnectionLost {
        host: host.to_owned(),
        reason: error.to_string(),
    }
}

fn timed_out(target: &SshTarget, doing: &'static str) -> TransportError {
    TransportError::Timeout {
        host: target.address(),
        doing,
        after: target.timeouts.connect,
    }
}

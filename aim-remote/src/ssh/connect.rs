//! The SSH client that is built in: reaching a server and starting a byte stream on it.

use std::borrow::Cow;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use russh::client::{self, Handle};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, ChannelStream, Preferred, cipher};
use tokio::time::timeout;

use super::auth;
use super::known_hosts::{KnownHosts, Verdict};
use super::target::{Login, SshTarget};
use crate::transport::TransportError;

/// Signs of life that may be missed before an idle connection is given up.
const KEEPALIVES_MISSED_MAX: usize = 3;

/// A logged-in connection. Dropping it closes the socket at once, also under an upload that the
/// far side does not take.
pub(super) struct Client {
    handle: Handle<HostKeyCheck>,
    host_key: Arc<OnceLock<String>>,
    login: String,
    address: String,
    progress_timeout: Duration,
    _socket: SocketGuard,
}

impl Client {
    /// Connects, checks the host key and logs in.
    pub(super) async fn open(target: &SshTarget, login: &Login) -> Result<Self, TransportError> {
        let known_hosts = KnownHosts::read(&login.known_hosts)?;
        let (stream, socket) = dial(target).await?;
        let limit = target.timeouts.connect;
        let host_key = Arc::new(OnceLock::new());
        let log_in = async {
            let config = Arc::new(config(target, &known_hosts));
            let check = HostKeyCheck {
                target: target.clone(),
                files: login.known_hosts.clone(),
                known_hosts,
                accepted: Arc::clone(&host_key),
            };
            let connecting = client::connect_stream(config, stream, check);
            let mut handle = connecting.await.map_err(|error| match error {
                ConnectError::HostKey(error) => error,
                ConnectError::Protocol(error) => lost(&target.address(), &error),
            })?;
            let login = auth::log_in(&mut handle, target, &login.credentials).await?;
            Ok((handle, login))
        };
        let (handle, login) = match timeout(limit, log_in).await {
            Ok(handle) => handle?,
            Err(_) => return Err(timed_out(target, "logging in")),
        };
        Ok(Self {
            handle,
            host_key,
            login,
            address: target.address(),
            progress_timeout: target.timeouts.progress,
            _socket: socket,
        })
    }

    /// Type and fingerprint of the host key that was accepted.
    pub(super) fn host_key(&self) -> Option<&str> {
        self.host_key.get().map(String::as_str)
    }

    /// What we logged in with.
    pub(super) fn login(&self) -> &str {
        &self.login
    }

    /// Starts the SFTP subsystem on a channel of its own.
    pub(super) async fn sftp_stream(&self) -> Result<ChannelStream<client::Msg>, TransportError> {
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
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port()));
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
            key: Cow::Owned(known_hosts.algorithms(&target.host, target.port())),
            host_key_certificates: Cow::Borrowed(
                known_hosts.certificate_algorithms(&target.host, target.port()),
            ),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}

/// Accepts the host keys that are recorded, and no other.
pub(super) struct HostKeyCheck {
    target: SshTarget,
    files: Vec<PathBuf>,
    known_hosts: KnownHosts,
    /// The key that was accepted.
    accepted: Arc<OnceLock<String>>,
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
        let (name, port) = (&self.target.host, self.target.port());
        let verdict = match offered.certificate() {
            None => self.known_hosts.judge(name, port, &key),
            Some(certificate) => {
                let now = SystemTime::now();
                self.known_hosts
                    .judge_certificate(name, port, certificate, now)
            }
        };
        let host = self.target.address();
        let offers = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let refusal = match verdict {
            Verdict::Accepted => {
                // the same one at every rekeying
                self.accepted.get_or_init(|| offers);
                return Ok(true);
            }
            Verdict::Unknown => TransportError::HostKeyUnknown {
                host,
                files: (self.files.iter())
                    .map(|path| path.display().to_string())
                    .collect(),
                offered: offers,
            },
            Verdict::Certificate { file, line, reason } => TransportError::HostCertificate {
                host,
                file,
                line,
                reason,
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

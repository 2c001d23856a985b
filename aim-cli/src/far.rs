//! The mirror's directory as the source reaches it, for small files.

use std::future::Future;

use aim_core::identity::{FollowerIdentity, VolumeIdentity};
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_remote::Trouble;
use aim_remote::fetch::FetchError;
use aim_remote::file_io::{Source, run_blocking};
use aim_remote::ship::ShipError;
use aim_remote::ssh::{self, Credential, Passphrase, SshProgram, Timeouts, Way};
#[cfg(feature = "s3")]
use aim_remote::store::{StoreCredentials, StoreLimits, StoreTarget};
#[cfg(feature = "s3")]
use aim_remote::transport::StoreTransport;
use aim_remote::transport::{
    LocalTransport, Name, Progress, SftpTransport, Transport, TransportError,
};

use crate::config::{Key, Login, StorePlace, Target, TargetConfig};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// A connection to a target, made when it is needed.
#[derive(Debug)]
pub(crate) enum Line {
    /// A directory on a mounted file system.
    Local(LocalTransport),
    /// A directory behind an SSH server.
    Sftp(SftpTransport),
    /// A place in an object store.
    #[cfg(feature = "s3")]
    Store(StoreTransport),
}

/// The way to a target.
pub(crate) fn line(config: &TargetConfig) -> Line {
    let target = match &config.target {
        Target::Directory(path) => return Line::Local(LocalTransport::new(path)),
        Target::Ssh(target) => target,
        Target::Store(place) => return store(place, config.login.as_ref()),
    };
    // an SSH target always has a login: the configuration was refused otherwise
    let way = match &config.login {
        None | Some(Login::Store { .. }) => Way::BuiltIn(ssh::Login {
            known_hosts: Vec::new(),
            credentials: Vec::new(),
        }),
        Some(Login::BuiltIn { key, known_hosts }) => Way::BuiltIn(ssh::Login {
            known_hosts: vec![known_hosts.clone()],
            credentials: vec![credential(key)],
        }),
        Some(Login::Program { path, config }) => Way::Program(SshProgram {
            path: path.clone(),
            config: config.clone(),
        }),
    };
    let account = ssh::SshTarget {
        host: target.host.clone(),
        port: target.port,
        user: target.user.clone(),
        way,
        timeouts: Timeouts::default(),
    };
    let transport = SftpTransport::new(account, target.path.clone());
    Line::Sftp(transport.with_channels(config.line.channels))
}

/// The way to an object store; like an SSH target it always has a login.
#[cfg(feature = "s3")]
fn store(place: &StorePlace, login: Option<&Login>) -> Line {
    let (endpoint, region, credentials, allow_http) = match login {
        Some(Login::Store {
            endpoint,
            region,
            credentials,
            allow_http,
        }) => (
            endpoint.clone(),
            region.clone(),
            credentials.clone(),
            *allow_http,
        ),
        _ => (None, String::new(), None, false),
    };
    Line::Store(StoreTransport::new(StoreTarget {
        bucket: place.bucket.clone(),
        prefix: place.prefix.clone(),
        endpoint,
        region,
        credentials: match credentials {
            Some(path) => StoreCredentials::File(path),
            None => StoreCredentials::Environment,
        },
        allow_http,
        limits: StoreLimits::default(),
    }))
}

/// There is none: the configuration was refused.
#[cfg(not(feature = "s3"))]
fn store(place: &StorePlace, _: Option<&Login>) -> Line {
    Line::Local(LocalTransport::new(&place.prefix))
}

fn credential(key: &Key) -> Credential {
    match key {
        Key::Agent { socket } => Credential::Agent {
            socket: socket.clone(),
        },
        Key::File { path, passphrase } => Credential::KeyFile {
            path: path.clone(),
            passphrase: passphrase.as_ref().map(Passphrase::in_file),
        },
    }
}

/// The directory of a target. Every call makes its own connection.
#[derive(Debug)]
pub(crate) struct FarDirectory<'a> {
    target: &'a TargetConfig,
}

impl<'a> FarDirectory<'a> {
    pub(crate) fn new(target: &'a TargetConfig) -> Self {
        Self { target }
    }

    /// For messages.
    pub(crate) fn place(&self) -> String {
        self.target.target.to_string()
    }

    /// The volume that the far directory belongs to; `None` if to none yet.
    pub(crate) fn volume(&self) -> Outcome<Option<VolumeIdentity>> {
        let bytes = match line(self.target) {
            Line::Local(transport) => self.complete(get(&transport, VolumeIdentity::NAME)),
            Line::Sftp(transport) => self.complete(get(&transport, VolumeIdentity::NAME)),
            #[cfg(feature = "s3")]
            Line::Store(transport) => self.complete(get(&transport, VolumeIdentity::NAME)),
        }?;
        let decoded = bytes
            .map(|bytes| VolumeIdentity::decode(&bytes))
            .transpose();
        decoded.map_err(|error| {
            Problem::new("the volume.id on the target can't be used")
                .at(self.place())
                .because(&error)
                .hint("if it is a leftover, remove it there")
                .exit(Exit::Mismatch)
        })
    }

    /// Whether the far directory is of a mirror that is never asked what it holds.
    pub(crate) fn is_follower(&self) -> Outcome<bool> {
        let bytes = match line(self.target) {
            Line::Local(transport) => self.complete(get(&transport, FollowerIdentity::NAME)),
            Line::Sftp(transport) => self.complete(get(&transport, FollowerIdentity::NAME)),
            #[cfg(feature = "s3")]
            Line::Store(transport) => self.complete(get(&transport, FollowerIdentity::NAME)),
        }?;
        Ok(bytes.is_some())
    }

    /// Stores a small file, durably.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) -> Outcome<()> {
        match line(self.target) {
            Line::Local(transport) => self.complete(put(&transport, name, content)),
            Line::Sftp(transport) => self.complete(put(&transport, name, content)),
            #[cfg(feature = "s3")]
            Line::Store(transport) => self.complete(put(&transport, name, content)),
        }
    }

    fn complete<T>(&self, work: impl Future<Output = Result<T, TransportError>>) -> Outcome<T> {
        match run_blocking(|_| work) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(explain(&self.place(), &error)),
            Err(error) => Err(Problem::new("can't start the network part").io(&error)),
        }
    }
}

/// A small file, or `None` if it is not there though its directory is.
async fn get(transport: &impl Transport, name: &str) -> Result<Option<Vec<u8>>, TransportError> {
    // tells a missing directory from a missing file
    transport.list("").await?;
    match transport.get(&parse(name)?, FILE_BYTES_MAX).await {
        Ok(content) => Ok(Some(content)),
        Err(TransportError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn put(
    transport: &impl Transport,
    name: &str,
    content: Vec<u8>,
) -> Result<(), TransportError> {
    let source = Source::from_bytes(name, content);
    let name = parse(name)?;
    transport.put(&name, &source, &Progress::default()).await?;
    Ok(())
}

fn parse(name: &str) -> Result<Name, TransportError> {
    Name::parse(name).map_err(|error| TransportError::Refused {
        place: name.to_owned(),
        reason: error.to_string(),
    })
}

/// An error on the way to the target, with what to do next.
pub(crate) fn explain(place: &str, error: &TransportError) -> Failure {
    let problem = Problem::new("can't use the target")
        .at(place)
        .because(error);
    let (exit, hint) = advice(place, error);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
    .exit(exit)
}

/// What is in the way of shipping, on one line, with what to do about it.
pub(crate) fn told(place: &str, trouble: &Trouble<ShipError>) -> String {
    let hint = match &*trouble.error {
        ShipError::Transport(error) => advice(place, error).1,
        ShipError::NoFollower => Some(
            "empty its directory, then `aim init NAME` on this host, and after that there: it begins anew",
        ),
        ShipError::Follower => Some(
            "only the relay ships to it: take it out of the targets here, or empty its directory",
        ),
        ShipError::NotPaired => Some("`aim init NAME` on the host of that mirror"),
        _ => None,
    };
    match hint {
        Some(hint) => format!("{} ({hint})", trouble.message()),
        None => trouble.message(),
    }
}

/// What is in the way of fetching, likewise.
pub(crate) fn told_of_fetching(place: &str, trouble: &Trouble<FetchError>) -> String {
    let hint = match &*trouble.error {
        FetchError::Transport(error) => advice(place, error).1,
        _ => None,
    };
    match hint {
        Some(hint) => format!("{} ({hint})", trouble.message()),
        None => trouble.message(),
    }
}

/// What an error on the way to the target means, and what helps.
fn advice(place: &str, error: &TransportError) -> (Exit, Option<&'static str>) {
    if place.starts_with("s3://")
        && let Some(advice) = advice_on_stores(error)
    {
        return advice;
    }
    match error {
        TransportError::AuthenticationRefused { .. } => (
            Exit::Auth,
            Some(
                "on the mirror host put the public key into the authorized_keys of that account; \
                 a private key and its passphrase must be files with mode 600",
            ),
        ),
        TransportError::HostKeyUnknown { .. }
        | TransportError::HostKeyChanged { .. }
        | TransportError::HostKeyRevoked { .. }
        | TransportError::HostKeyRefused { .. }
        | TransportError::HostCertificate { .. } => (Exit::Auth, advice_on_trust(error)),
        TransportError::ServerLacks { .. } => (
            Exit::Failed,
            Some(
                "have sshd_config of the mirror host say `Subsystem sftp internal-sftp`, without \
                 options that forbid requests (-P, -p, -R)",
            ),
        ),
        TransportError::KnownHostsUnreadable { .. } => (Exit::Usage, None),
        TransportError::PermissionDenied { .. } => (
            Exit::Auth,
            Some("the directory must belong to the account that the source logs in as"),
        ),
        TransportError::NotFound { .. } => (
            Exit::NotFound,
            Some(
                "make the directory on the mirror host, owned by the account that the source \
                 logs in as",
            ),
        ),
        TransportError::NoSpace { .. } => (Exit::Failed, Some("make room on the mirror host")),
        TransportError::Unreachable { .. } => (
            Exit::Failed,
            Some("check host and port, that sshd runs there, and the firewall"),
        ),
        _ => (Exit::Failed, None),
    }
}

/// What helps where an object store is meant differently from a mirror host.
fn advice_on_stores(error: &TransportError) -> Option<(Exit, Option<&'static str>)> {
    Some(match error {
        TransportError::AuthenticationRefused { .. } => (
            Exit::Auth,
            Some("check the access key in `credentials_file`, and the clock of this host"),
        ),
        TransportError::Credentials { .. } => (
            Exit::Auth,
            Some(
                "`credentials_file` must be a file with mode 600 and lines aws_access_key_id = ..., \
                 aws_secret_access_key = ...",
            ),
        ),
        TransportError::PermissionDenied { .. } => (
            Exit::Auth,
            Some(
                "the access key needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, \
                 s3:DeleteObject and s3:AbortMultipartUpload below the prefix",
            ),
        ),
        TransportError::NotFound { .. } => (
            Exit::NotFound,
            Some("make the bucket, or correct its name, `endpoint` or `region`"),
        ),
        TransportError::OtherRegion { .. } => (
            Exit::Usage,
            Some("set `region` to the one that the bucket was made in"),
        ),
        TransportError::NoSpace { .. } => (Exit::Failed, Some("raise the quota of the store")),
        TransportError::Unreachable { .. } => (
            Exit::Failed,
            Some("check `endpoint`, its certificate, and the firewall"),
        ),
        _ => return None,
    })
}

/// What helps where the other host is not known to be the right one.
fn advice_on_trust(error: &TransportError) -> Option<&'static str> {
    Some(match error {
        TransportError::HostKeyUnknown { .. } => {
            "get the key from the mirror host itself and add it to known_hosts: \
             `ssh-keyscan HOST`, then compare it with `ssh-keygen -lf` there"
        }
        TransportError::HostKeyChanged { .. } => {
            "it may be another machine, or somebody in between: find out why before you change \
             known_hosts; if the host has a new key, replace the line by it"
        }
        TransportError::HostKeyRevoked { .. } => {
            "whoever has this key may pretend to be the host: give the host a new key, and record \
             that"
        }
        TransportError::HostKeyRefused { .. } => {
            "record the key where your ssh looks for it (UserKnownHostsFile), after you have \
             compared it on the mirror host itself: `ssh-keygen -lf`"
        }
        TransportError::HostCertificate { .. } => {
            "have the host's key signed anew: `ssh-keygen -s CA -h -n HOST ...`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aim_core::units::Timestamp;
    use aim_remote::transport::Remedy;

    use super::*;

    #[test]
    fn a_trouble_names_its_cause_and_what_helps() {
        let error = TransportError::NoSpace {
            place: "mirror:22:/srv/incoming".to_owned(),
            reason: "512 bytes are free".to_owned(),
        };
        let trouble = Trouble {
            error: Arc::new(ShipError::Transport(error)),
            remedy: Remedy::Operator,
            since: Timestamp(1),
            attempts: 3,
        };
        assert_eq!(
            told("ssh://aim@mirror/srv", &trouble),
            "no space left for mirror:22:/srv/incoming: 512 bytes are free \
             (make room on the mirror host)"
        );
    }
}

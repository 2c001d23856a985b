//! The mirror's directory as the source reaches it, for small files.

use std::future::Future;

use aim_core::identity::VolumeIdentity;
use aim_core::state_file::{FILE_BYTES_MAX, StateFile};
use aim_remote::file_io::{Source, run_blocking};
use aim_remote::ssh::{self, Credential, Timeouts};
use aim_remote::transport::{
    LocalTransport, Name, Progress, SftpTransport, Transport, TransportError,
};

use crate::config::{Key, Target, TargetConfig};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// A connection to a target, made when it is needed.
#[derive(Debug)]
pub(crate) enum Line {
    /// A directory on a mounted file system.
    Local(LocalTransport),
    /// A directory behind an SSH server.
    Sftp(SftpTransport),
}

/// The way to a target.
pub(crate) fn line(config: &TargetConfig) -> Line {
    let target = match &config.target {
        Target::Directory(path) => return Line::Local(LocalTransport::new(path)),
        Target::Ssh(target) => target,
    };
    // an SSH target always has a login: the configuration was refused otherwise
    let (credentials, known_hosts) = match &config.login {
        None => (Vec::new(), Vec::new()),
        Some(login) => {
            let credential = match &login.key {
                Key::Agent => Credential::Agent { socket: None },
                Key::File(path) => Credential::KeyFile {
                    path: path.clone(),
                    passphrase: None,
                },
            };
            (vec![credential], vec![login.known_hosts.clone()])
        }
    };
    let account = ssh::SshTarget {
        host: target.host.clone(),
        port: target.port,
        user: target.user.clone(),
        known_hosts,
        credentials,
        timeouts: Timeouts::default(),
    };
    Line::Sftp(SftpTransport::new(account, target.path.clone()))
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

    /// Stores a small file, durably.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) -> Outcome<()> {
        match line(self.target) {
            Line::Local(transport) => self.complete(put(&transport, name, content)),
            Line::Sftp(transport) => self.complete(put(&transport, name, content)),
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
fn explain(place: &str, error: &TransportError) -> Failure {
    let problem = Problem::new("can't use the target")
        .at(place)
        .because(error);
    let (exit, hint) = advice(error);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
    .exit(exit)
}

/// What an error on the way to the target means, and what helps.
fn advice(error: &TransportError) -> (Exit, Option<&'static str>) {
    match error {
        TransportError::AuthenticationRefused { .. } => (
            Exit::Auth,
            Some("put the public key into ~/.ssh/authorized_keys of that account"),
        ),
        TransportError::HostKeyUnknown { .. } => (
            Exit::Auth,
            Some(
                "get the key from the mirror host itself and add it to known_hosts: \
                 `ssh-keyscan HOST`, then compare it with `ssh-keygen -lf` there",
            ),
        ),
        TransportError::HostKeyChanged { .. } | TransportError::HostKeyRevoked { .. } => (
            Exit::Auth,
            Some("it may be another machine: find out why before you change known_hosts"),
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

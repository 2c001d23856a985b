//! What can go wrong on the way to the far side, by kind.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aim_core::failpoint::{Failpoint, reach};

/// Why a transport could not do what it was asked.
///
/// `place` names the far file or folder with its host. Hints for the operator are added where
/// they are shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server refused every credential.
    #[error("{host} refused all credentials of user {user}: {}", tried.join("; "))]
    AuthenticationRefused {
        /// `host:port`.
        host: String,
        /// The account on the far side.
        user: String,
        /// One sentence for each credential.
        tried: Vec<String>,
    },
    /// The far side can't serve the request for now, and says so.
    #[error("{host} can't do that for now: {reason}")]
    Busy {
        /// Who says so.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The connection ended in the middle.
    #[error("lost the connection to {host}: {reason}")]
    ConnectionLost {
        /// `host:port`.
        host: String,
        /// What the connection said.
        reason: String,
    },
    /// What proves who we are can't be read.
    #[error("no credentials for {host}: {reason}")]
    Credentials {
        /// Who they are for.
        host: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The authority of a host's certificate is recorded, and the certificate is not right.
    #[error("the certificate of {host} is not accepted, though {}, line {line}, has its authority: {reason}", file.display())]
    HostCertificate {
        /// `host:port`.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// Line of the authority, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A key is recorded for the host, and it offered another one.
    #[error("the host key of {host} is not the one recorded in {}, line {line}: it offers {offered}", file.display())]
    HostKeyChanged {
        /// `host:port`.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// Line of a recorded key, from 1.
        line: usize,
        /// Type and fingerprint.
        offered: String,
    },
    /// The user's ssh program did not accept the host key.
    #[error("ssh does not accept the host key of {host}: {said}")]
    HostKeyRefused {
        /// `host:port`, or `host` where only the program knows the port.
        host: String,
        /// What the program said.
        said: String,
    },
    /// The host key is marked `@revoked`.
    #[error("the host key of {host}, {offered}, is revoked in {}, line {line}", file.display())]
    HostKeyRevoked {
        /// `host:port`.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// Line of the mark, from 1.
        line: usize,
        /// Type and fingerprint.
        offered: String,
    },
    /// No key is recorded for the host.
    #[error("no host key of {host} is recorded in {}: it offers {offered}", files.join(", "))]
    HostKeyUnknown {
        /// `host:port`.
        host: String,
        /// The known_hosts files.
        files: Vec<String>,
        /// Type and fingerprint.
        offered: String,
    },
    /// A known_hosts file can't be read, or a mark in it not be understood.
    #[error("can't rely on {}: {reason}", file.display())]
    KnownHostsUnreadable {
        /// The known_hosts file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The far side's file system is full.
    #[error("no space left for {place}: {reason}")]
    NoSpace {
        /// The far file.
        place: String,
        /// What the far side says of it.
        reason: String,
    },
    /// No such file or folder.
    #[error("{place} does not exist")]
    NotFound {
        /// The far file or folder.
        place: String,
    },
    /// The bucket is in another region than the configured one.
    #[error("{place} is not in region {region}: {reason}")]
    OtherRegion {
        /// The bucket.
        place: String,
        /// The configured region.
        region: String,
        /// What the store said.
        reason: String,
    },
    /// The account may not do that there.
    #[error("permission denied: {place}")]
    PermissionDenied {
        /// The far file or folder.
        place: String,
    },
    /// The far side refused, and did not say why in a way that is understood.
    #[error("{place}: {reason}")]
    Refused {
        /// The far file or folder, or the host.
        place: String,
        /// What it said.
        reason: String,
    },
    /// The server can't do something that safe shipping needs.
    #[error("the SFTP server on {host} lacks {extension}: {need}")]
    ServerLacks {
        /// `host:port`.
        host: String,
        /// The SFTP extension or subsystem.
        extension: &'static str,
        /// What it is needed for.
        need: &'static str,
    },
    /// The local file can't be read.
    #[error("can't read {}", path.display())]
    Source {
        /// The local file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing came from the far side for too long.
    #[error("{host} did not answer for {} s while {doing}", after.as_secs_f32())]
    Timeout {
        /// `host:port`.
        host: String,
        /// What was waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// A far file is longer than it may be.
    #[error("{place} is longer than {limit} bytes")]
    TooLarge {
        /// The far file.
        place: String,
        /// The most that was expected.
        limit: usize,
    },
    /// No connection could be made.
    #[error("can't reach {host}: {reason}")]
    Unreachable {
        /// `host:port`.
        host: String,
        /// What each address said.
        reason: String,
    },
}

/// What helps against a [`TransportError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It may pass: try again soon.
    Retry,
    /// Someone has to act; trying again slowly finds out when they have.
    Operator,
}

impl TransportError {
    /// Whether it may pass by itself.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Busy { .. }
            | Self::ConnectionLost { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. } => Remedy::Retry,
            _ => Remedy::Operator,
        }
    }

    /// Whether the connection it happened on is of no more use.
    pub(crate) fn breaks_connection(&self) -> bool {
        matches!(self, Self::ConnectionLost { .. } | Self::Timeout { .. })
    }

    /// Puts a local I/O error on `place` into its kind.
    pub(crate) fn from_io(place: String, free: Option<u64>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { place },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { place }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace {
                place,
                reason: bytes_free(free.unwrap_or(0)),
            },
            _ => Self::Refused {
                place,
                reason: error.to_string(),
            },
        }
    }
}

/// How much is free, in words.
pub(crate) fn bytes_free(free: u64) -> String {
    format!("{free} bytes are free")
}

/// Comes by a failpoint that concerns `place`.
pub(crate) fn pass(point: Failpoint, place: &str) -> Result<(), TransportError> {
    reach(point).map_err(|error| TransportError::from_io(place.to_owned(), None, error))
}

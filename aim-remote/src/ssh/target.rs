//! Where to connect to, and as whom.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// An account on an SSH server, and what is needed to reach it safely.
#[derive(Clone, Debug)]
pub struct SshTarget {
    /// Name or address.
    pub host: String,
    /// TCP port, usually 22.
    pub port: u16,
    /// The account on the far side.
    pub user: String,
    /// Files in OpenSSH's format; a host key that is in none of them is refused. A file that
    /// does not exist holds no key.
    pub known_hosts: Vec<PathBuf>,
    /// What to log in with, tried in order.
    pub credentials: Vec<Credential>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl SshTarget {
    /// `host:port` as messages name it.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Something to log in with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A private key in a file, in any format of OpenSSH or PKCS#8.
    KeyFile {
        /// The private key.
        path: PathBuf,
        /// Needed if the file is encrypted.
        passphrase: Option<Passphrase>,
    },
    /// The identities of an SSH agent, in its order.
    Agent {
        /// Its socket; `None` takes `SSH_AUTH_SOCK` from the environment.
        socket: Option<PathBuf>,
    },
}

/// A secret that is not shown.
#[derive(Clone)]
pub struct Passphrase(String);

impl Passphrase {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// How long to wait before a connection is given up.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For TCP to each address, and for the handshake and the login together.
    pub connect: Duration,
    /// Without any answer while some is due. The keep-alive does not notice a peer that stops
    /// reading in the middle of an upload; this does.
    pub progress: Duration,
    /// Between two signs of life on an idle connection; the third that is missed ends it.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            progress: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
        }
    }
}

//! Where to connect to, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Passphrase;

/// An account on an SSH server, and what is needed to reach it safely.
#[derive(Clone, Debug)]
pub struct SshTarget {
    /// Name or address.
    pub host: String,
    /// TCP port; `None` is 22, or what the user's own program finds in its configuration.
    pub port: Option<u16>,
    /// The account on the far side.
    pub user: String,
    /// Who makes the connection.
    pub way: Way,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl SshTarget {
    /// `host:port` as messages name it, `host` where the port is not known here.
    pub fn address(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (&self.way, self.port) {
            (Way::Program(_), None) => host,
            (_, port) => format!("{host}:{}", port.unwrap_or(DEFAULT_PORT)),
        }
    }

    /// The port that is dialled.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }
}

const DEFAULT_PORT: u16 = 22;

/// Who makes the connection: either way the same SFTP client runs over it.
#[derive(Clone, Debug)]
pub enum Way {
    /// The SSH client that is built in.
    BuiltIn(Login),
    /// The user's own `ssh`, so that all of its configuration counts.
    Program(SshProgram),
}

/// What the built-in client needs.
#[derive(Clone, Debug)]
pub struct Login {
    /// Files in OpenSSH's format; a host key that is in none of them is refused. A file that
    /// does not exist holds no key.
    pub known_hosts: Vec<PathBuf>,
    /// What to log in with, tried in order.
    pub credentials: Vec<Credential>,
}

/// An `ssh` program that takes OpenSSH's options.
#[derive(Clone, Debug)]
pub struct SshProgram {
    /// The program file.
    pub path: PathBuf,
    /// Its configuration; `None`: the user's and the system's own.
    pub config: Option<PathBuf>,
}

/// Something to log in with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A private key in a file, in any format of OpenSSH or PKCS#8, that nobody else may read.
    /// A certificate beside it, `KEY-cert.pub`, is tried first.
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

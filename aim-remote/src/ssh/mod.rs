//! A connection to an OpenSSH server: reached, its host key checked, logged in.
//!
//! ```text
//! Connection ─┬─ connect: built in ── known_hosts, auth ──┬── byte stream of SFTP
//!             └─ program: the user's own `ssh` ───────────┘
//! ```
//!
//! What russh has to do with it stays in here and in `sftp`.

mod auth;
mod certificate_signer;
mod connect;
mod connection;
mod host_certificate;
mod host_pattern;
mod known_hosts;
mod process;
mod program;
mod said;
mod secret;
mod target;

pub(crate) use connection::Connection;
pub use secret::Passphrase;
#[cfg(feature = "s3")]
pub(crate) use secret::read as read_secret;
pub use target::{Credential, Login, SshProgram, SshTarget, Timeouts, Way};

//! A connection to an OpenSSH server: reached, its host key checked, logged in.
//!
//! What russh has to do with it stays in here and in `sftp`.

mod auth;
mod connect;
mod host_pattern;
mod known_hosts;
mod target;

pub(crate) use connect::Connection;
pub use target::{Credential, Passphrase, SshTarget, Timeouts};

//! One behaviour suite for all transports, and the faults of real connections.
//!
//! The far side of the SFTP transport is OpenSSH's own server, started for each connection.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it set it up"
)]

mod agent;
mod behaviour;
mod faults;
mod login;
mod sshd;

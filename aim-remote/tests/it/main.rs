//! Transports and coordinators on real parts: files, and OpenSSH's own server.
//!
//! One behaviour suite runs on all transports. The far side of the SFTP transport is an sshd that
//! is started for each connection, that of the store transport are s3s-fs and moto.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it set it up"
)]

mod agent;
mod apply;
mod at_once;
mod behaviour;
mod chroot;
mod counting;
mod end_to_end;
mod faults;
mod host_keys;
mod incoming;
mod login;
mod packed;
mod rekey;
mod s3_server;
mod ship;
mod site;
mod sshd;
mod steered;
mod store;
mod trouble;

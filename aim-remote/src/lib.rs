//! Both coordinators of AIM: ship journal files over SSH, detect and apply them.
//!
//! ```text
//! outgoing/ ── shipper ── Transport ──────────▶ incoming/ ── applier ── mirror device
//!                 ▲                                             │
//!                 └──────────────── mirror.cursor ◀─────────────┘
//! ```
//!
//! Or by way of an object store, from which any number of mirror hosts fetch.
//!
//! The far side of a [`transport::Transport`] is a directory: files go there by name, and what
//! the mirror host has to say comes back as a small file in it.

pub mod apply;
mod coordinator;
pub mod fetch;
pub mod file_io;
pub mod relay;
mod sftp;
pub mod ship;
pub mod ssh;
#[cfg(feature = "s3")]
pub mod store;
pub mod transport;

pub use coordinator::Trouble;

//! Disks for virtual machines that lose what was not flushed when the power goes.
//!
//! A raw image behind QEMU survives the machine's death whole: the host's page cache is not part of
//! the guest. Here the image is behind a server for network block devices that holds back what a
//! guest wrote until it flushes, as the cache of a real disk does:
//!
//! ```text
//!  QEMU ── unix socket ── Server ── Image: cache in memory ── flush, FUA ──> file
//!                           │
//!                         Power: one switch for all disks of a machine
//! ```
//!
//! At a power cut a [`Cut`] says what of the cache reached the medium all the same: nothing,
//! everything, or a choice that is made by a seed, sector by sector or write by write. So writes
//! are lost, torn and reordered, as they are on real disks, and the same seed does the same to
//! the same requests.
//!
//! A cut goes like this: the power is [cut](Power::cut) (no disk of the machine takes or answers
//! requests from then on), QEMU is killed, each disk is told what it
//! [loses](Server::power_cut), and the power is [restored](Power::restore). The server goes on:
//! the next QEMU connects to the same socket.

mod cut;
mod image;
mod negotiation;
mod power;
mod rng;
mod server;
mod session;
mod wire;

pub use cut::Cut;
pub use image::{Image, Survivors};
pub use power::Power;
pub use rng::Rng;
pub use server::Server;

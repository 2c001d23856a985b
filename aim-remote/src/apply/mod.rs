//! The second coordinator: receives what arrives in `incoming/`, and applies it.
//!
//! ```text
//! incoming/ ── receiver ── verified, durable: `received` ──▶ applier ── `applied` ──▶ device
//!                 │                                             │
//!                 └────────────── rejected/ ◀───────────────────┘
//! ```
//!
//! Two threads, so that the source may go on deleting while a large file is applied. Files may
//! arrive in any order and more than once; they are received and applied in series order.
//!
//! A file is received in these steps: it is verified from the first byte to the last and must
//! follow the file received before; file and folder are synced; the cursor is stored. Only then
//! may the source delete it. What is cut, altered, foreign or out of place is set aside in
//! `rejected/` with its reason, never applied and never deleted. Where the bytes are wrong that is only
//! done if they stay so for a while, since a mover may still be writing them.
//!
//! Files are applied in runs: one file, or all files of a group together once its end is received.
//! Until then `received` moves on and `applied` stays before the group.
//!
//! A received file that is found damaged before it was applied is set aside too, and `received`
//! goes back to before it: if the source still has the file it sends it again, and if not it says
//! so. Of a group this is found before any of it is applied.

mod answer;
mod applier;
mod arrived;
mod error;
mod gap;
mod leftover;
mod receive;
mod replay;
mod status;
mod steps;
mod suspect;
mod unpack;
mod waiting;

pub use applier::{Applier, ApplyOptions};
pub use error::ApplyError;
pub use status::{ApplyStatus, Rejected};
pub use steps::Steps;

#[cfg(test)]
mod crash_tests;

//! How far a series has come: in the source's journal, and on the mirror.
//!
//! A [`Position`] is a place between two files of a series. The source keeps one (the last file
//! that it sealed); the mirror keeps two and an intent:
//!
//! ```text
//! series   ──── 1 ──── 2 ──── 3 ──── 4 ──── 5 ──── 6 ────▶
//!                             │      │      │
//!                       applied   intent   received
//! ```
//!
//! `received`: durable on the mirror host, so the source may delete it. `intent`: the device may
//! have been touched up to here. `applied`: durable on the device. Where intent and applied
//! differ the device may be a mixture, until the files between them have been applied again.

mod mirror;
mod position;
mod reader;
mod relay;
mod sealed;
mod store;
mod targets;

pub use mirror::{MirrorCursor, MirrorCursorFile};
pub use position::Position;
pub use reader::StoreReader;
pub use relay::RelayCursor;
pub use sealed::SealedCursor;
pub use store::{StoreCursor, StoredFile};
pub use targets::{Standing, TARGET_NAME_MAX, TARGETS_MAX, TargetRecord, TargetsCursor};

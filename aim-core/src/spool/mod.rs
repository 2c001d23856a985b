//! The folders of a volume: where journal files wait, on the source and on the mirror.
//!
//! ```text
//! source  JOURNAL_DIR/                        mirror  MIRROR_DIR/
//!   volume.id       who the volume is           volume.id      the same
//!   sealed.cursor   last sealed file            mirror.id      which devices are paired
//!   open/           the one unsealed file       mirror.cursor  received, intent, applied
//!   outgoing/       sealed files       ──────▶  incoming/      arrived files
//!                                               rejected/      files set aside, with reasons
//!                                               follower.id    it is never asked what it holds
//!                                               relay.cursor   what it passes on to others
//! ```
//!
//! Names that end in `.tmp` or `.part` are not whole yet, or leftovers, and are never listed.

mod error;
mod folder;
mod listing;
mod mirror;
mod outgoing;
mod source;
#[cfg(test)]
mod tests;

pub use error::SpoolError;
pub use listing::{Listing, Names, Unfinished, WaitingFile};
pub use mirror::MirrorSpool;
pub use outgoing::{Outgoing, Waiting};
pub use source::SourceSpool;

//! Extents: which parts of the disk may be on only one of disk and journal, or not on the mirror.
//!
//! Two bits per extent, in memory and in the file `extents.map` (`docs/format.md`, section 9):
//!
//! - *hot*: a write to it was admitted, and it is not certain yet that disk and journal both hold
//!   it durably. Set durably before the write goes to the disk, cleared lazily: the activity log
//!   ([`heat`]).
//! - *need*: the series does not tell what the disk holds there, so it has to be copied again.
//!
//! After a power cut every hot extent is needed. That is what allows disk and journal to be
//! written side by side: whichever of the two lost a write, the extent is copied.

mod facts;
mod heat;
mod map_file;
mod map_header;
mod sector;
mod table;

pub use facts::MapFacts;
pub use map_file::{ExtentMap, Initial, MapError};
pub(super) use map_file::{Loaded, MapFile};
pub(super) use map_header::MapState;
pub(super) use table::{Changes, Extent, Extents, Guarantee};

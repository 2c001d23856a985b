//! Applying verified journal files, in order, to the mirror's devices.
//!
//! # Protocol
//!
//! Files are applied in runs of one or more; what a run brings becomes visible as a whole.
//!
//! 1. Everything that can be refused is refused: another volume, an old epoch, another device,
//!    a gap, a broken chain. Nothing has been touched.
//! 2. *Intent*: the cursor says that the devices may be touched up to the run's last file;
//!    durable.
//! 3. The transactions are done in LSN order. Between two flushes, writes that do not overlap are
//!    gathered and may go in any order; nothing moves over a flush.
//! 4. The devices are synced.
//! 5. *Applied*: the cursor says that the devices hold everything up to the run's last file;
//!    durable.
//!
//! # Recovery
//!
//! | stopped | cursor | devices | the next start |
//! |---|---|---|---|
//! | before 2 is durable | settled | as `applied` says | applies the run |
//! | before 5 is durable | intent after `applied` | a mixture up to the intent | applies again from `applied` on |
//! | after 5 | settled | as `applied` says | goes on with the next file |
//!
//! Doing transactions again gives the same: each says where its bytes go and what they are, none
//! depends on what was there, and they are done again in the same order. The intent never goes
//! back before it was reached, and names its file by digest, so that what an interrupted run has
//! touched is written again by the very same files. Until then
//! [`MirrorCursor::is_settled`](crate::cursor::MirrorCursor::is_settled) is false, and the devices
//! must not be used. After a failed write or sync the same holds: applying again writes all
//! of the run anew, since a sync that failed once proves nothing when it is repeated.

mod batch;
mod error;
mod place;
mod replayer;
mod summary;

pub use error::ReplayError;
pub use replayer::{Outcome, Replay};
pub use summary::Summary;

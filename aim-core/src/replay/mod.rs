//! Applying verified journal files, in order, to the mirror's devices.
//!
//! # Protocol
//!
//! Files are applied in runs of one or more; what a run brings becomes visible as a whole. A run
//! ends outside of a group, so what the devices hold at rest is never the inside of one.
//!
//! 1. Everything that can be refused is refused: another volume, an old epoch, another device,
//!    a gap, a broken chain, a group without its end; all by headers. The first file, or each one of
//!    the first group, is verified whole. Nothing has been touched.
//! 2. *Intent*: the cursor says that the devices may be touched up to the run's last file;
//!    durable.
//! 3. The transactions are done, file by file; the one behind, or the group behind, is verified
//!    whole before any of its own is. Of what a file does to the devices only what it leaves is
//!    done, in any order. The writes of a file may be under way while the next one's begin, but for those
//!    that overlap. Verify records are compared where they stand: all before has ended then.
//! 4. All writes have ended; the devices are synced.
//! 5. What verify records have shown is stored, if there is anything new: [`Differences`].
//! 6. *Applied*: the cursor says that the devices hold everything up to the run's last file;
//!    durable.
//!
//! Where a file can't be used, the run ends before it, or before its group, by steps 4 to 6, if all
//! that was begun ends well. Nothing behind that was touched, so the intent comes back to there as well.
//!
//! Flushes have no meaning in step 3: the devices are at no time of it what the source was at a time,
//! and nobody may use them before step 6.
//!
//! # Recovery
//!
//! | stopped | cursor | devices | the next start |
//! |---|---|---|---|
//! | before 2 is durable | settled | as `applied` says | applies the run |
//! | before 6 is durable | intent after `applied` | a mixture up to the intent | applies again from `applied` on |
//! | after 6 | settled | as `applied` says | goes on with the next file |
//!
//! Doing transactions again gives the same: each says where its bytes go and what they are, none
//! depends on what was there, and what they leave is the same. The intent never goes
//! back to before what may have been touched, and names its file by digest, so that what an interrupted run has
//! touched is written again by the very same files. Until then
//! [`MirrorCursor::is_settled`](crate::cursor::MirrorCursor::is_settled) is false, and the devices
//! must not be used. After a failed write or sync the same holds: applying again writes all
//! of the run anew, since a sync that failed once proves nothing when it is repeated.
//!
//! A verify record is compared with devices that hold exactly what comes before it. Up to the intent
//! of an interrupted run they may hold more than that, so records up to there are skipped and
//! counted: what they would show might be no difference at all. And what step 5 has stored belongs to
//! the end of that run, so the transactions up to there change nothing of it any more.

mod ahead;
mod batch;
mod compare;
mod differences;
mod error;
mod layers;
mod place;
mod progress;
mod replayer;
mod round;
mod run;
mod summary;
mod transactions;

pub use differences::{DeviceRange, Differences, RANGES_MAX};
pub use error::ReplayError;
pub use replayer::{Outcome, Replay};
pub use run::{Opener, Run};
pub use summary::Summary;

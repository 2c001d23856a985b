//! Signatures: what the mirror holds, told in digests of blocks, so that a resync copies only what
//! differs. The idea is rsync's, at fixed places.
//!
//! ```text
//! source                                          mirror host
//!   signature.question  ── any transport ──▶        reads these blocks of its devices
//!   compares, under the range lock      ◀──         signature.answer
//! ```
//!
//! An answer holds for one group of the series, as long as the mirror has applied everything before
//! the group and nothing of it. Why a block whose digest is the same need not be copied: whatever
//! the group's transactions before this place of the order do to the mirror's block, they did to
//! the source's, and none was lost since the group began. So where the source's block now equals
//! the mirror's of then, it also does when these transactions have been applied.
//!
//! The files are described in `docs/format.md`, section 9.

mod answer;
mod file;
mod question;
mod zero;

pub use answer::{Answer, BlockDigest, block_digest};
pub use file::SignatureError;
pub use question::{BlockRange, Question};
pub(crate) use zero::is_zero;

/// Longest file of either kind.
pub const FILE_BYTES_MAX: usize = 4 << 20;

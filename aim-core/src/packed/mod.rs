//! Packed files: a sealed journal file compressed for the way, as `docs/format.md` says.
//!
//! ```text
//! NAME.aim ── Packer ──▶ NAME.aim.zst ── any mover ──▶ Unpacker ──▶ NAME.aim, verified as ever
//! ```
//!
//! A packed file is also a file for the program `zstd`: what is ours in it stands in frames that
//! zstd skips. Nothing about it is trusted: what comes out is a file of unknown bytes.
//!
//! [`PackedView`] reads the journal file in it without storing it anywhere.

mod error;
mod frame;
mod header;
mod pack;
mod piece;
#[cfg(test)]
mod tests;
mod unpack;
mod view;

pub use error::UnpackError;
pub use pack::{Level, Packer};
pub use unpack::Unpacker;
pub use view::PackedView;

/// Bytes of the journal file in each piece; only the last one is shorter.
pub const PIECE_BYTES: usize = 1 << 20;

/// What a packed file begins with, after the beginning of a frame that zstd skips.
const MAGIC: [u8; 8] = *b"\x89AIMzst\n";

/// The one version that exists.
const VERSION: u32 = 1;

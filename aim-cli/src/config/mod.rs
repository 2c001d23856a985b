//! The configuration: as typed, as understood, and checked against the host.
//!
//! ```text
//! file ── parse (spans, unknown keys) ── raw ── resolve (values) ── Config ── host check
//! ```

mod apart;
mod check;
mod fields;
mod line;
mod load;
mod login;
mod parse;
mod quantity;
mod raw;
mod resolve;
mod spelling;
mod target;
mod targets;
#[cfg(test)]
mod tests;
mod typed;

pub(crate) use load::{DEFAULT_PATH, load};
pub(crate) use quantity::{Size, Span};
pub(crate) use target::{StorePlace, Target};
pub(crate) use typed::{
    Config, Entry, Key, Login, MirrorConfig, OnJournalFull, ReadPath, TargetConfig, VolumeConfig,
};

//! A bucket of an S3-compatible object store: how it is reached, and how files come into it.
//!
//! ```text
//! StoreTransport ─┬─ bucket: address, credentials, one request at a time within its limit
//!                 ├─ upload: in pieces, several at once ── pieces: read and digested
//!                 │                └─ unfinished: what has arrived of each
//!                 └─ failure: what the store says, by kind
//! ```
//!
//! What the crate `object_store` has to do with it stays in here.

mod bucket;
mod credentials;
mod failure;
mod pieces;
mod target;
mod unfinished;
mod upload;

pub(crate) use bucket::Bucket;
pub(crate) use pieces::PIECES_MAX;
pub use target::{StoreCredentials, StoreLimits, StoreTarget};
pub(crate) use unfinished::Unfinished;
pub(crate) use upload::{Way, put};

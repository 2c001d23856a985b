//! SFTP as safe shipping needs it: many requests in flight, and only what is durable counts.
//!
//! It runs over any byte stream, so that another program than ours may provide it.

mod compare;
mod failure;
mod folder;
mod session;
mod survey;
#[cfg(test)]
mod trip_tests;
mod upload;

pub(crate) use session::Session;
pub(crate) use upload::{WRITES_MAX, put};

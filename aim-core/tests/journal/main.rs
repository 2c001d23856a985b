//! Journal files: written, read, cut, altered, recovered.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod baselines;
mod chain;
mod damage;
mod fields;
mod golden;
mod groups;
mod recovery;
mod round_trip;
mod sample;
mod writing;

//! Named places at which tests stop the program: each step that renames, syncs or moves a cursor.
//!
//! A crash matters between two steps that become durable one after the other. Each such place has
//! a name here and calls [`reach`]; without the feature `failpoints` that call is nothing. With
//! it, a test stops there in one of two ways:
//!
//! - in its own process: what `watch` was given is asked at each failpoint that the thread reaches, and may
//!   answer with an error, as if the machine had stopped there;
//! - in another process: `AIM_FAILPOINT=NAME` or `NAME:N` in the environment ends the process
//!   without ceremony when it reaches the failpoint for the first or the N-th time.

mod point;
#[cfg(feature = "failpoints")]
mod stop;

use std::io;

pub use point::Failpoint;
#[cfg(feature = "failpoints")]
pub use stop::{Watch, watch};

/// Says that the program has come to `point`.
///
/// # Errors
///
/// What the watching test answers; the caller must treat it as a failure of the step that comes
/// next.
#[inline]
pub fn reach(point: Failpoint) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    stop::reach(point)?;
    let _ = point;
    Ok(())
}

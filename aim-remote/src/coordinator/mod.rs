//! What both coordinators are made of: how they wait, retry, and say how they are.

mod backoff;
mod hint;
mod rate;
mod signal;
mod throttle;
mod trouble;

pub(crate) use backoff::Backoff;
pub(crate) use hint::watch;
pub(crate) use rate::Rate;
pub(crate) use signal::Signal;
pub(crate) use throttle::Throttle;
pub use trouble::Trouble;
pub(crate) use trouble::chain;

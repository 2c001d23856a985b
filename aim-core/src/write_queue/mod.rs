//! Writes to a file of which many are under way at a time.

mod failure;
mod fixed;
mod request;
mod ring;
mod under_way;

pub(crate) use failure::{Failure, named};
pub(crate) use request::Request;
pub use request::SharedBytes;
pub(crate) use ring::{Ring, RingFile};
pub(crate) use under_way::{UnderWay, write_all};

//! Replay of a series onto the devices of a mirror.

mod crashes;
mod in_order;
mod mirror;
mod refusals;

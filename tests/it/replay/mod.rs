//! Replay of a series onto the devices of a mirror.

mod baselines;
mod broken;
mod crashes;
mod differences;
mod followers;
mod groups;
mod in_order;
mod mirror;
mod plan;
mod refusals;

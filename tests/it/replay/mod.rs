//! Replay of a series onto the devices of a mirror.

mod baselines;
mod broken;
mod crashes;
mod differences;
mod followers;
mod groups;
mod in_order;
mod long_runs;
mod mirror;
mod plan;
mod refusals;

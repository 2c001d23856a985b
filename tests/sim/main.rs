//! The deterministic simulator: both hosts in one thread, over doubles, from a seed.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod archive;
mod broken;
mod clock;
mod disks;
mod ends;
mod failpoints;
mod failure;
mod faults;
mod front_end;
mod line;
mod log;
mod mirror;
mod model;
mod pending;
mod plan;
mod rest;
mod runner;
mod sector;
mod seeds;
mod source;
mod stop;
mod tamper;
mod traffic;
mod trap;
mod world;

//! The whole way of a write: captured, sealed, shipped, received, applied.

mod coordinators;
mod property;
mod relay;
mod relay_steps;
mod site;
mod stores;
mod targets;
mod travelling;

//! The whole way of a write: captured, sealed, shipped, received, applied.

mod coordinators;
mod property;
mod targets;
mod travelling;

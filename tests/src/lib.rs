//! Test doubles, integration tests and guest tests of AIM.
//!
//! The seams that production code is written against are where the faults come from:
//!
//! ```text
//!             Power: counts steps; fails one, or cuts the power at one
//!            ┌──┴───────────────┐
//! VolatileDevice            MemFileSystem
//! BlockDevice with a        Directory and DirFile that forget
//! volatile cache            names and content that were not synced
//! ```
//!
//! What happens is fixed by a seed and a step, so a failure can be repeated.

pub mod chain_fuzz;
pub mod device_suite;
pub mod file_fuzz;
pub mod forge;
mod mem_directory;
pub mod packed_fuzz;
mod power;
pub mod replay_fuzz;
mod rng;
mod series;
mod volatile_device;
pub mod witness;

pub use mem_directory::{MemDirectory, MemFileSystem, Sabotage};
pub use power::{Power, Step};
pub use rng::Rng;
pub use series::{Series, SeriesFile};
pub use volatile_device::VolatileDevice;

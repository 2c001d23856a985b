//! A file system in memory that forgets what was not synced.

mod directory;
mod file;
mod sabotage;
mod state;

pub use directory::{MemDirectory, MemFileSystem};
pub use sabotage::Sabotage;

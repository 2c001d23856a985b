//! A file system in memory that forgets what was not synced.

mod directory;
mod file;
mod state;

pub use directory::{MemDirectory, MemFileSystem};

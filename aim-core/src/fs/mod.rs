//! Files and folders: the only place that renames and syncs directories.
//!
//! Journal, cursors and spool reach the file system through [`Directory`], so that tests can put
//! one behind it that loses what was not synced.

mod at_once;
mod direct;
mod directory;
mod host;

pub use directory::{DirFile, Directory, Part};
pub use host::HostDirectory;
pub(crate) use host::reserve;

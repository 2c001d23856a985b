//! Notices of the file system that a folder has changed.

use std::path::Path;
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::Signal;

/// Hints at `signal` when something changes in `folder`, while the watcher is kept.
///
/// Only ever a hint: notices get lost, and network file systems give none, so whoever listens
/// lists the folder from time to time as well. `None` where there is nothing to watch with.
pub(crate) fn watch(folder: &Path, signal: &Arc<Signal>) -> Option<RecommendedWatcher> {
    let hinted = Arc::clone(signal);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // reading is what the coordinators do themselves
        if !matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
            hinted.hint();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watched {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::info!(folder = %folder.display(), %error, "not watched: it is listed instead");
            None
        }
    }
}

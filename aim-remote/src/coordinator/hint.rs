//! Notices of the file system that a folder has changed.

use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::Signal;

/// Hints at `signal` when something changes in `folder`, while the watcher is kept.
///
/// Only ever a hint: notices get lost, and network file systems give none, so whoever listens
/// lists the folder from time to time as well. `None` where there is nothing to watch with.
pub(crate) fn watch(folder: &Path, signal: &Arc<Signal>) -> Option<RecommendedWatcher> {
    let hinted = Arc::clone(signal);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| may_be_whole(event.kind)) {
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

/// Whether an event may mean that a file is whole now. While one arrives it is written to many
/// times a second, and nobody needs to look.
fn may_be_whole(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Modify(kind) => matches!(kind, ModifyKind::Name(_) | ModifyKind::Any),
        EventKind::Access(_) | EventKind::Remove(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use notify::event::{DataChange, RenameMode};

    use super::*;

    #[test]
    fn a_renamed_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.part");
        fs::write(&part, b"x").unwrap();
        let signal = Arc::new(Signal::default());
        let _watcher = watch(folder.path(), &signal).unwrap();
        fs::rename(&part, folder.path().join("a")).unwrap();
        assert!(signal.wait(Duration::from_secs(60)));
    }

    #[test]
    fn a_file_that_is_being_written_or_read_is_not() {
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert!(!may_be_whole(written));
        assert!(!may_be_whole(EventKind::Access(AccessKind::Read)));
        assert!(may_be_whole(EventKind::Modify(ModifyKind::Name(
            RenameMode::To
        ))));
    }
}

//! A folder that counts what is asked of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aim_core::fs::{DirFile, Directory};

/// Calls of a folder and of all in it, since they were counted last.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    lists: AtomicU64,
    opens: AtomicU64,
    removals: AtomicU64,
}

/// How many of each kind there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) lists: u64,
    pub(crate) opens: u64,
    pub(crate) removals: u64,
}

impl Calls {
    /// Gives the numbers, and begins at zero again.
    pub(crate) fn take(&self) -> Counted {
        let take = |number: &AtomicU64| number.swap(0, Ordering::SeqCst);
        Counted {
            lists: take(&self.lists),
            opens: take(&self.opens),
            removals: take(&self.removals),
        }
    }
}

/// A folder whose sub-folders are counted, and not what it does itself.
#[derive(Debug)]
pub(crate) struct Counting {
    folder: Arc<dyn Directory>,
    calls: Arc<Calls>,
    is_counted: bool,
}

impl Counting {
    pub(crate) fn within(folder: Arc<dyn Directory>, calls: Arc<Calls>) -> Arc<dyn Directory> {
        Arc::new(Self {
            folder,
            calls,
            is_counted: false,
        })
    }

    fn count(&self, number: &AtomicU64) {
        number.fetch_add(u64::from(self.is_counted), Ordering::SeqCst);
    }
}

impl Directory for Counting {
    fn path(&self) -> PathBuf {
        self.folder.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.count(&self.calls.lists);
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        self.count(&self.calls.opens);
        self.folder.open(name, writable)
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        self.folder.rename(name, to, to_name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.count(&self.calls.removals);
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(Self {
            folder: self.folder.subdirectory(name)?,
            calls: Arc::clone(&self.calls),
            is_counted: true,
        }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }
}

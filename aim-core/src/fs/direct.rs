//! Writing past the page cache.
//!
//! What is written once and read once or never would only push other pages out of the cache, and
//! be copied twice. What is not aligned as the file system asks has to go through the cache; Linux
//! keeps both ways coherent as long as they take turns.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::alignment::Alignment;

/// A file that is open for direct writes.
#[derive(Debug)]
pub(super) struct DirectFile {
    file: File,
    alignment: Alignment,
}

impl DirectFile {
    /// Opens an existing file once more; `None` where its file system takes no direct writes.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let direct = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(direct)
            .open(path)
            .ok()?;
        let alignment = Alignment::of(&file)?;
        Some(Self { file, alignment })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether these slices can be written from `offset` on in this way.
    pub(super) fn takes(&self, slices: &[IoSlice<'_>], offset: u64) -> bool {
        self.alignment
            .takes(slices.iter().map(|slice| &**slice), offset)
    }
}

//! What a capture must not forget, as small texts in the journal folder.

use std::io;

use crate::fs::Directory;

/// Longest text that is read.
const BYTES_MAX: usize = 4096;

/// A text in the journal folder that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Present while a capture runs: found at a start, the one before did not stop cleanly.
    Running,
    /// Why source and mirror may differ; stays until the volume is initialized anew.
    Uncertain,
    /// Why capture ended for good; stays until the volume is initialized anew.
    Lost,
}

impl Note {
    /// Name of its file.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Running => "capture.running",
            Self::Uncertain => "capture.uncertain",
            Self::Lost => "capture.lost",
        }
    }

    /// Its text, if it is there.
    pub(super) fn read(self, folder: &dyn Directory) -> io::Result<Option<String>> {
        match folder.read_small(self.file(), BYTES_MAX) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves it there; durable when this returns.
    pub(super) fn write(self, folder: &dyn Directory, text: &str) -> io::Result<()> {
        folder.write_atomic(self.file(), format!("{text}\n").as_bytes())
    }

    /// Takes it away; durable when this returns.
    pub(super) fn remove(self, folder: &dyn Directory) -> io::Result<()> {
        match folder.remove(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        folder.sync()
    }
}

//! A sealed file in one of its two forms: as it is, or packed.

use std::io;
use std::sync::Arc;

use aim_core::fs::{DirFile, Directory};
use aim_core::journal::{FileName, ParsedFile, ReadError};
use aim_core::packed::{PackedView, UnpackError};

/// A sealed file by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Formed {
    pub(super) name: FileName,
    pub(super) is_packed: bool,
}

impl Formed {
    /// Reads the name of a sealed file, in either form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = FileName::parse_sealed(text).map(|name| (name, false));
        let known = plain.or_else(|_| FileName::parse_packed(text).map(|name| (name, true)));
        let (name, is_packed) = known.ok()?;
        Some(Self { name, is_packed })
    }

    /// Name of the file.
    pub(super) fn text(&self) -> String {
        match self.is_packed {
            false => self.name.sealed(),
            true => self.name.packed(),
        }
    }

    /// The files of a folder in series order, each in one form: as it is, if it is there so.
    pub(super) fn list(folder: &dyn Directory) -> io::Result<Vec<Self>> {
        let names = folder.list()?;
        let mut all: Vec<Self> = names.iter().filter_map(|text| Self::parse(text)).collect();
        all.sort_unstable();
        all.dedup_by_key(|file| file.name);
        Ok(all)
    }
}

/// Opens a file for reading; a packed one as the journal file that is in it.
pub(super) fn open(
    folder: &dyn Directory,
    text: &str,
    is_packed: bool,
) -> io::Result<Arc<dyn DirFile>> {
    let file = folder.open(text, false)?;
    match is_packed {
        false => Ok(file),
        true => Ok(Arc::new(PackedView::open(file)?)),
    }
}

/// Opens a file, and reads its header.
pub(super) fn parse(folder: &dyn Directory, file: &Formed) -> Result<ParsedFile, ReadError> {
    let opened = open(folder, &file.text(), file.is_packed);
    ParsedFile::open(opened.map_err(|source| ReadError::Io { at: 0, source })?)
}

/// Whether the bytes are wrong, also those of a packed file, as against a file system that can't give
/// them.
pub(super) fn is_damage(error: &ReadError) -> bool {
    match error {
        ReadError::Io { source, .. } => {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
            inner.is_some_and(UnpackError::is_damage)
        }
        error => error.is_damage(),
    }
}

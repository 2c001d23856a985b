//! Every file that was ever sealed, as an observer of `outgoing/` has seen it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::Directory;
use aim_core::journal::{FileName, VerifiedFile, check_link};
use aim_core::units::{FileNumber, Lsn};

/// The files, by number.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    files: BTreeMap<FileNumber, Sealed>,
    last: Position,
}

/// A file that was sealed.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) name: FileName,
    pub(crate) bytes: Arc<[u8]>,
    /// The place behind it.
    position: Position,
}

impl Archive {
    /// Looks for files in `outgoing` that are new; gives the ends of groups in them.
    ///
    /// # Errors
    ///
    /// What is wrong with a file: it does not follow the one before, or is not whole.
    pub(crate) fn look(&mut self, outgoing: &dyn Directory) -> Result<Vec<Lsn>, String> {
        let mut ends = Vec::new();
        let Ok(texts) = outgoing.list().or_else(|_| outgoing.list()) else {
            return Ok(ends);
        };
        let mut names: Vec<_> = (texts.iter())
            .filter_map(|text| FileName::parse_sealed(text).ok())
            .filter(|name| name.number > self.last.file)
            .collect();
        names.sort_unstable();
        for name in names {
            let text = name.sealed();
            // a step that was to fail may be this one
            let read = || outgoing.read_small(&text, 1 << 30);
            let Ok(bytes) = read().or_else(|_| read()) else {
                return Ok(ends);
            };
            let file = outgoing
                .open(&text, false)
                .map_err(|error| error.to_string())?;
            let file = VerifiedFile::open(file)
                .map_err(|error| format!("{text} in outgoing/ is not whole: {error}"))?;
            check_link(&self.last, file.header())
                .map_err(|error| format!("{text} in outgoing/ does not follow: {error}"))?;
            ends.extend(
                file.records()
                    .iter()
                    .filter(|record| record.kind == Kind::GroupEnd)
                    .map(|record| record.lsn),
            );
            self.last = file.position();
            let sealed = Sealed {
                name,
                bytes: bytes.into(),
                position: self.last,
            };
            self.files.insert(name.number, sealed);
        }
        Ok(ends)
    }

    /// Whether a place of the series lies behind a file that was sealed.
    /// Whether it can be told that all files in `outgoing` were seen.
    pub(crate) fn has_all(&self, outgoing: &dyn Directory) -> bool {
        let Ok(names) = outgoing.list() else {
            return false;
        };
        let mut files = names
            .iter()
            .filter_map(|text| FileName::parse_sealed(text).ok());
        files.all(|name| self.files.contains_key(&name.number))
    }

    pub(crate) fn knows(&self, position: Position) -> bool {
        let file = self.files.get(&position.file);
        position.is_start() || file.is_some_and(|file| file.position == position)
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn nth(&self, index: usize) -> Option<&Sealed> {
        self.files.values().nth(index)
    }
}

//! What waits in a folder.

use std::io;

use super::SpoolError;
use crate::fs::Directory;
use crate::journal::FileName;

/// A sealed journal file that waits in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingFile {
    /// Its name, which says volume, epoch and number.
    pub name: FileName,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sealed journal files in series order. Only their names have been looked at.
    pub files: Vec<WaitingFile>,
    /// Packed ones, likewise. A file may be there in both forms.
    pub packed: Vec<WaitingFile>,
    /// Names of other files, in no order: nothing of ours, except what is not whole yet, which
    /// is in neither list.
    pub strangers: Vec<String>,
}

/// The names in a folder, without a look at the files themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Sealed journal files in series order.
    pub files: Vec<FileName>,
    /// Packed ones, likewise. A file may be there in both forms.
    pub packed: Vec<FileName>,
    /// What is not whole yet, or was left over, in no order.
    pub unfinished: Vec<Unfinished>,
    /// Names of other files, in no order: nothing of ours.
    pub strangers: Vec<String>,
}

/// A file that is not whole yet, or was left over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its name.
    pub text: String,
    /// The journal file that it is to be, in whichever form; `None` if it is to be none.
    pub file: Option<FileName>,
}

impl Names {
    /// Reads the names in `folder`: one call of it, whatever there is.
    pub(super) fn read(folder: &dyn Directory) -> Result<Self, SpoolError> {
        let mut names = Self::default();
        for text in folder.list().map_err(SpoolError::io(folder.path()))? {
            if let Some(stem) = unfinished_stem(&text) {
                let file = parse_either(stem);
                names.unfinished.push(Unfinished { text, file });
            } else if let Ok(name) = FileName::parse_sealed(&text) {
                names.files.push(name);
            } else if let Ok(name) = FileName::parse_packed(&text) {
                names.packed.push(name);
            } else {
                names.strangers.push(text);
            }
        }
        names.files.sort_unstable();
        names.packed.sort_unstable();
        Ok(names)
    }
}

impl Listing {
    /// Reads the names and lengths in `folder`. Files that vanish meanwhile are left out.
    pub(super) fn read(folder: &dyn Directory) -> Result<Self, SpoolError> {
        let names = Names::read(folder)?;
        let measure = |names: Vec<FileName>, text: fn(&FileName) -> String| {
            let mut files = Vec::with_capacity(names.len());
            for name in names {
                let text = text(&name);
                match folder.open(&text, false).and_then(|file| file.len()) {
                    Ok(bytes) => files.push(WaitingFile { name, bytes }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(SpoolError::io(folder.path().join(text))(error)),
                }
            }
            Ok(files)
        };
        Ok(Self {
            files: measure(names.files, FileName::sealed)?,
            packed: measure(names.packed, FileName::packed)?,
            strangers: names.strangers,
        })
    }

    /// Bytes of all journal files together, without those that are packed.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The journal file that comes first in series order.
    pub fn oldest(&self) -> Option<&WaitingFile> {
        self.files.first()
    }
}

/// What stands before the ending of a file that is still being written, or was left over by a crash.
fn unfinished_stem(text: &str) -> Option<&str> {
    let stem = text.strip_suffix(".part");
    stem.or_else(|| text.strip_suffix(".tmp"))
}

/// The journal file that a name begins with, in whichever form: whoever writes one may put something
/// of his own behind its name.
fn parse_either(stem: &str) -> Option<FileName> {
    let ends = std::iter::once(stem.len()).chain(stem.rmatch_indices('.').map(|(at, _)| at));
    ends.map(|end| &stem[..end]).find_map(|text| {
        let sealed = FileName::parse_sealed(text);
        sealed.or_else(|_| FileName::parse_packed(text)).ok()
    })
}

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

impl Listing {
    /// Reads the names and lengths in `folder`. Files that vanish meanwhile are left out.
    pub(super) fn read(folder: &dyn Directory) -> Result<Self, SpoolError> {
        let mut listing = Self::default();
        for text in folder.list().map_err(SpoolError::io(folder.path()))? {
            if is_unfinished(&text) {
                continue;
            }
            let sealed = FileName::parse_sealed(&text).map(|name| (name, &mut listing.files));
            let known = sealed
                .or_else(|_| FileName::parse_packed(&text).map(|name| (name, &mut listing.packed)));
            let Ok((name, list)) = known else {
                listing.strangers.push(text);
                continue;
            };
            match folder.open(&text, false).and_then(|file| file.len()) {
                Ok(bytes) => list.push(WaitingFile { name, bytes }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SpoolError::io(folder.path().join(text))(error)),
            }
        }
        listing.files.sort_unstable_by_key(|file| file.name);
        listing.packed.sort_unstable_by_key(|file| file.name);
        Ok(listing)
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

/// Whether a name is that of a file that is still being written, or was left over by a crash.
fn is_unfinished(name: &str) -> bool {
    name.ends_with(".part") || name.ends_with(".tmp")
}

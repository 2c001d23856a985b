//! Whether files follow each other.

use aim_core::cursor::Position;
use aim_core::journal::{VerifiedFile, check_link};
use aim_core::units::VolumeId;

/// Takes verified files in order and compares each with the one before.
#[derive(Debug, Default)]
pub(super) struct Series {
    volume: Option<VolumeId>,
    last: Option<Position>,
}

/// How a file stands to the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It follows, or there was none before.
    Follows,
    /// It does not, and why.
    Broken(String),
}

impl Series {
    /// Takes the next file.
    pub(super) fn add(&mut self, file: &VerifiedFile) -> Link {
        let header = file.header();
        let before = self.last.replace(file.position());
        let volume = *self.volume.get_or_insert(header.volume.id);
        if volume != header.volume.id {
            self.volume = Some(header.volume.id);
            return Link::Broken(format!("of volume {}, not {volume}", header.volume.id));
        }
        let Some(before) = before else {
            return Link::Follows;
        };
        match check_link(&before, header) {
            Ok(()) => Link::Follows,
            Err(error) => Link::Broken(error.to_string()),
        }
    }

    /// The next file is not compared.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

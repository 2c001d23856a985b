//! Whether files follow each other.

use aim_core::cursor::Position;
use aim_core::journal::VerifiedFile;
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
        let (number, lsn) = (header.number, header.first_lsn);
        if number != before.file.next() {
            let what = format!(
                "file {number} after file {}: files between are missing or doubled",
                before.file
            );
            Link::Broken(what)
        } else if lsn != before.lsn.next() {
            Link::Broken(format!("begins with LSN {lsn} after LSN {}", before.lsn))
        } else if header.volume.epoch < before.epoch {
            let what = format!("epoch {} after epoch {}", header.volume.epoch, before.epoch);
            Link::Broken(what)
        } else if header.previous != before.digest {
            Link::Broken("names another file as the one before it".to_owned())
        } else {
            Link::Follows
        }
    }

    /// The next file is not compared.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

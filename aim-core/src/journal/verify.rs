//! Verification of bare files, with no daemon: of one, and of a folder that holds a series.

use std::io;

use super::chain::{LinkError, check_link, check_volume};
use super::name::{FileName, InvalidName};
use super::read_error::ReadError;
use super::reader::VerifiedFile;
use crate::cursor::Position;
use crate::format::Header;
use crate::fs::Directory;
use crate::identity::VolumeIdentity;
use crate::units::{FileNumber, Lsn, VolumeId};

/// Why a file with the name of a sealed journal file is none.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be one by its name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Its content is wrong.
    #[error(transparent)]
    Content(#[from] ReadError),
    /// It was given the name of another file.
    #[error("the file says that it is {found}")]
    Misnamed {
        /// The name that belongs to its content.
        found: FileName,
    },
}

/// What was found in a folder of sealed files.
#[derive(Debug)]
pub struct ChainReport {
    /// Every sealed file of the volume, in series order.
    pub files: Vec<ChainFile>,
    /// Names of files that are no sealed journal files, in no order.
    pub others: Vec<String>,
    /// The place up to which the series is whole, from its start or from the position that was
    /// given. `None` if not even the first file is good.
    pub whole_to: Option<Position>,
}

/// One file of a series.
#[derive(Debug)]
pub struct ChainFile {
    /// Its name.
    pub name: FileName,
    /// How it fits.
    pub outcome: Result<ChainLink, ChainError>,
}

/// A file that is right and follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// The place just behind it.
    pub position: Position,
}

/// What is wrong with a file in a series.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It can't be used at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is a good file at the wrong place.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl ChainReport {
    /// Whether there is nothing wrong with any file.
    pub fn is_whole(&self) -> bool {
        self.problems().next().is_none()
    }

    /// The files with which something is wrong, in series order.
    pub fn problems(&self) -> impl Iterator<Item = (FileName, &ChainError)> {
        self.files
            .iter()
            .filter_map(|file| Some((file.name, file.outcome.as_ref().err()?)))
    }
}

/// Verifies the sealed file `name` in `directory`, and that the name is its own.
///
/// # Errors
///
/// [`FileError`] for the first thing that is wrong.
pub fn verify_file(directory: &dyn Directory, name: &str) -> Result<VerifiedFile, FileError> {
    let expected: FileName = name.parse()?;
    let file = directory.open(name, false).map_err(ReadError::at(0))?;
    let verified = VerifiedFile::open(file)?;
    match verified.name() {
        found if found == expected => Ok(verified),
        found => Err(FileError::Misnamed { found }),
    }
}

/// Verifies all sealed files in `directory` and that they are one series of `volume`: behind
/// `after`, or, without it, from whatever file is the first one there.
///
/// Where a file is wrong, the one behind it is again taken as it is, so that each fault is
/// reported once. One file at a time is kept in memory.
///
/// # Errors
///
/// Only if the folder can't be listed; what is wrong with files is in the report.
pub fn verify_chain(
    directory: &dyn Directory,
    volume: VolumeId,
    after: Option<Position>,
) -> io::Result<ChainReport> {
    let mut names = Vec::new();
    let mut others = Vec::new();
    for text in directory.list()? {
        match text.parse::<FileName>() {
            Ok(name) => names.push(name),
            Err(_) => others.push(text),
        }
    }
    names.sort_unstable();
    let mut walk = Walk {
        directory,
        volume,
        devices: None,
        reached: after,
        whole_to: after,
        is_whole: true,
    };
    let files = names
        .into_iter()
        .map(|name| ChainFile {
            name,
            outcome: walk.step(name),
        })
        .collect();
    Ok(ChainReport {
        files,
        others,
        whole_to: walk.whole_to,
    })
}

struct Walk<'a> {
    directory: &'a dyn Directory,
    volume: VolumeId,
    /// By the first file that could be read.
    devices: Option<VolumeIdentity>,
    /// Behind the last file that could be read; `None` where the next is taken as it is.
    reached: Option<Position>,
    whole_to: Option<Position>,
    is_whole: bool,
}

impl Walk<'_> {
    fn step(&mut self, name: FileName) -> Result<ChainLink, ChainError> {
        if name.volume != self.volume {
            return Err(ChainError::Link(LinkError::Volume {
                expected: self.volume,
                found: name.volume,
            }));
        }
        let verified = verify_file(self.directory, &name.sealed()).inspect_err(|_| {
            self.is_whole = false;
            self.reached = None;
        })?;
        let header = verified.header();
        let before = self.reached.unwrap_or_else(|| position_before(header));
        let devices = self.devices.get_or_insert_with(|| header.volume.clone());
        let linked = check_volume(devices, header).and_then(|()| check_link(&before, header));
        match linked {
            // a file that is there twice does not break the series
            Err(LinkError::OldEpoch { .. } | LinkError::Repeated { .. }) => {}
            Err(_) => {
                self.is_whole = false;
                self.reached = Some(verified.position());
            }
            Ok(()) => self.reached = Some(verified.position()),
        }
        linked?;
        if self.is_whole {
            self.whole_to = self.reached;
        }
        Ok(ChainLink {
            first_lsn: verified.first_lsn(),
            position: verified.position(),
        })
    }
}

/// The place that a file claims to stand behind.
fn position_before(header: &Header) -> Position {
    Position {
        epoch: header.volume.epoch,
        file: FileNumber(header.number.get() - 1),
        lsn: Lsn(header.first_lsn.get() - 1),
        digest: header.previous,
        open_group: header.open_group,
    }
}

//! Which files are applied as one, and how they are opened.

use super::ReplayError;
use crate::cursor::Position;
use crate::journal::{ParsedFile, ReadError, VerifiedFile};
use crate::units::{FileNumber, Lsn};

/// Opens a file of a run, and checks its header.
///
/// It may end the run by an error of its choice: [`ReplayError::Stopped`], for example.
pub type Opener<'a> = dyn FnMut(FileNumber) -> Result<ParsedFile, ReplayError> + 'a;

/// A chain of files behind what is applied, known by their headers. It can be applied where it
/// ends outside of a group.
///
/// It is made by [`Replay::start_run`](super::Replay::start_run) and grows by
/// [`Replay::extend_run`](super::Replay::extend_run). A file takes 72 bytes in it.
#[derive(Clone, Debug)]
pub struct Run {
    start: Position,
    files: Vec<Position>,
}

impl Run {
    pub(super) fn behind(start: Position) -> Self {
        let files = Vec::new();
        Self { start, files }
    }

    pub(super) fn push(&mut self, file: Position) {
        self.files.push(file);
    }

    /// What is applied before it.
    pub fn start(&self) -> Position {
        self.start
    }

    /// The place behind each of its files, in order.
    pub fn files(&self) -> &[Position] {
        &self.files
    }

    /// How far the series has come with it.
    pub fn reached(&self) -> Position {
        self.files.last().copied().unwrap_or(self.start)
    }

    /// Whether it can be applied: there is a file, and the last one ends outside of a group.
    pub fn is_complete(&self) -> bool {
        !self.files.is_empty() && !self.reached().is_in_group()
    }

    /// Where the group begins for whose end it waits; `None` if it waits for nothing.
    pub fn waits_in_group(&self) -> Option<Lsn> {
        match (self.is_complete(), self.files.first()) {
            // a first file that ends outside of a group is a run by itself
            (false, Some(first)) if first.is_in_group() => Some(first.open_group),
            (false, Some(_)) => Some(self.reached().open_group),
            _ => None,
        }
    }

    pub(super) fn require_complete(&self) -> Result<(), ReplayError> {
        match self.waits_in_group() {
            None => Ok(()),
            Some(begin) => Err(ReplayError::InGroup {
                file: self.reached().file,
                begin,
            }),
        }
    }
}

/// Opens the file just before `position` and checks every byte of it.
pub(super) fn verified(
    open: &mut Opener<'_>,
    position: &Position,
) -> Result<VerifiedFile, ReplayError> {
    let file = open(position.file)?.verify_as(position);
    file.map_err(reading(position.file))
}

/// The same for a file of which every byte was checked a while ago.
pub(super) fn verified_before(
    open: &mut Opener<'_>,
    position: &Position,
) -> Result<VerifiedFile, ReplayError> {
    let file = open(position.file)?.verified_before(position);
    file.map_err(reading(position.file))
}

pub(super) fn reading(file: FileNumber) -> impl FnOnce(ReadError) -> ReplayError {
    move |source| ReplayError::Read { file, source }
}

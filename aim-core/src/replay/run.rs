//! Which files are applied as one, and how they are opened.

use super::ReplayError;
use crate::cursor::{MirrorCursor, Position};
use crate::format::{Header, Seal};
use crate::journal::{ParsedFile, ReadError, VerifiedFile};
use crate::units::{FileNumber, Lsn};

/// Opens a file of a run, and checks its header.
///
/// It may end the run by an error of its choice: [`ReplayError::Stopped`], for example.
pub type Opener<'a> = dyn FnMut(FileNumber) -> Result<ParsedFile, ReplayError> + 'a;

/// A chain of files behind what is applied, known by their headers. It can be applied where it
/// ends outside of a group; on its way there it may come by other such places.
///
/// Where files are missing behind what is applied, it goes on with a file that begins with a
/// baseline, and can be applied only once that has ended: inside, the devices would be a mixture.
///
/// It is made by [`Replay::start_run`](super::Replay::start_run) and grows by
/// [`Replay::extend_run`](super::Replay::extend_run). A file takes up to 80 bytes in it.
#[derive(Clone, Debug)]
pub struct Run {
    start: Position,
    /// The file at whose baseline it goes on; 0: with the next file.
    base: FileNumber,
    /// Where the baseline begins whose end it still needs; 0: it needs none.
    baseline: Lsn,
    files: Vec<Position>,
    /// How many files there are up to each place where it can be applied.
    ends: Vec<usize>,
    /// Bytes of the payloads.
    bytes: u64,
}

/// Bytes of payloads from which on a run that can be applied is not made longer: so much, and a file,
/// is at most written again after a crash, unless a single group is longer.
const BYTES_MAX: u64 = 1 << 30;

impl Run {
    pub(super) fn behind(cursor: &MirrorCursor) -> Self {
        Self {
            start: cursor.applied,
            base: cursor.base,
            baseline: Lsn(0),
            files: Vec::new(),
            ends: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, header: &Header, seal: &Seal, file: Position) {
        if self.files.is_empty() && self.base != FileNumber(0) {
            self.baseline = header.first_lsn;
        }
        // another one may have begun since, and ended: it holds all of the volume as well
        if seal.baseline_ended >= self.baseline {
            self.baseline = Lsn(0);
        }
        self.files.push(file);
        self.bytes = self.bytes.saturating_add(seal.data_len.get());
        if !file.is_in_group() && self.baseline == Lsn(0) {
            self.ends.push(self.files.len());
        }
    }

    /// Whether it is worth while to make it longer: as long as it can't be applied, and then up to a
    /// GiB of payloads. What steps over missing files is applied by itself.
    pub fn may_grow(&self) -> bool {
        self.ends.is_empty() || self.bytes < BYTES_MAX && !self.is_over_missing_files()
    }

    /// Leaves out the files behind the last place where it can be applied. Says whether there is such
    /// a place; if not, the run is as before.
    pub fn cut_to_complete(&mut self) -> bool {
        let end = self.ends.last().copied();
        if let Some(end) = end {
            self.files.truncate(end);
        }
        end.is_some()
    }

    /// Whether a file of it is opened twice when it is applied: once to verify it with all that
    /// belongs to its group.
    pub fn is_opened_twice(&self, file: FileNumber) -> bool {
        let mut units = self.units();
        let unit = units.find(|unit| unit.iter().any(|position| position.file == file));
        unit.is_some_and(|unit| unit.len() > 1)
    }

    /// The files from one place where it can be applied to the next.
    pub(super) fn units(&self) -> impl Iterator<Item = &[Position]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, &end)| &self.files[start..end])
    }

    /// Whether it goes on behind what the cursor says is applied, as the cursor says.
    pub fn is_behind(&self, cursor: &MirrorCursor) -> bool {
        (self.start, self.base) == (cursor.applied, cursor.base)
    }

    /// Whether files are missing between what is applied and its first one.
    pub(super) fn is_over_missing_files(&self) -> bool {
        self.base != FileNumber(0)
    }

    /// Whether the next file is one that files are missing before.
    pub(super) fn steps_over(&self) -> bool {
        self.files.is_empty() && self.base != FileNumber(0)
    }

    /// The file that comes next in it.
    pub fn next_file(&self) -> FileNumber {
        match self.steps_over() {
            true => self.base,
            false => self.reached().file.next(),
        }
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

    /// Whether it can be applied: there is a file, the last one ends outside of a group, and so
    /// does the baseline that it needs.
    pub fn is_complete(&self) -> bool {
        self.ends.last() == Some(&self.files.len())
    }

    /// Where the group or the baseline begins for whose end it waits; `None` if it waits for
    /// nothing.
    pub fn waits_in_group(&self) -> Option<Lsn> {
        if self.baseline != Lsn(0) {
            return Some(self.baseline);
        }
        match self.files.get(self.ends.last().copied().unwrap_or(0)) {
            // one that ends outside of a group could be applied
            Some(first) if first.is_in_group() => Some(first.open_group),
            Some(_) => Some(self.reached().open_group),
            None => None,
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

pub(super) fn reading(file: FileNumber) -> impl FnOnce(ReadError) -> ReplayError {
    move |source| ReplayError::Read { file, source }
}

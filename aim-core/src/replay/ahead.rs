//! Reading ahead: while a file is applied, the one after it is read and verified.

use std::io;
use std::thread::{self, Scope, ScopedJoinHandle};

use super::ReplayError;
use super::run::{Opener, Run, reading};
use crate::cursor::Position;
use crate::journal::{FileMemory, ParsedFile, ReadError, VerifiedFile};

/// What a file of a run is read for. One that stands alone is applied once it is verified; those of a
/// group are verified all before the first of them is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The file.
    pub(super) position: Position,
    /// Whether it is applied, or only verified.
    pub(super) is_applied: bool,
    /// Whether all of what belongs together is verified with it, or applied.
    pub(super) is_last: bool,
    /// Whether it was verified a while ago.
    is_again: bool,
}

/// The turns of a run's files.
pub(super) fn turns(run: &Run) -> impl Iterator<Item = Turn> + '_ {
    run.units().flat_map(|unit| {
        let pass = |is_applied: bool| {
            unit.iter().enumerate().map(move |(index, position)| Turn {
                position: *position,
                is_applied,
                is_last: index + 1 == unit.len(),
                is_again: is_applied && unit.len() > 1,
            })
        };
        let checks = pass(false).filter(|_| unit.len() > 1);
        checks.chain(pass(true))
    })
}

/// Gives each file to `apply` when its turn has come, verified. Files are opened by this thread, and
/// read by another one. An error of a file comes when its turn has, and ends it.
///
/// What `apply` has begun with a file may go on until it returns for the next one; so three files are in
/// memory at most.
pub(super) fn each(
    turns: impl IntoIterator<Item = Turn>,
    open: &mut Opener<'_>,
    mut apply: impl FnMut(Turn, &VerifiedFile) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut turns = turns.into_iter();
    thread::scope(|scope| {
        let mut start = |memory| {
            let turn = turns.next()?;
            Some((turn, Loading::start(scope, open, turn, memory)))
        };
        let mut memory = FileMemory::default();
        let mut before: Option<VerifiedFile> = None;
        let mut ahead = start(FileMemory::default());
        while let Some((turn, loading)) = ahead {
            let file = loading.finish().map_err(|error| match error {
                Failed::Open(error) => error,
                Failed::Read(error) => reading(turn.position.file)(error),
            })?;
            ahead = start(memory);
            apply(turn, &file)?;
            let before = before.replace(file);
            memory = before.map_or_else(FileMemory::default, VerifiedFile::into_memory);
        }
        Ok(())
    })
}

/// A file on its way into memory.
enum Loading<'scope> {
    Ahead(ScopedJoinHandle<'scope, Result<VerifiedFile, ReadError>>),
    Done(Box<Result<VerifiedFile, Failed>>),
}

enum Failed {
    Open(ReplayError),
    Read(ReadError),
}

impl<'scope> Loading<'scope> {
    fn start(
        scope: &'scope Scope<'scope, '_>,
        open: &mut Opener<'_>,
        turn: Turn,
        memory: FileMemory,
    ) -> Self {
        let file = match open(turn.position.file) {
            Ok(file) => file,
            Err(error) => return Self::Done(Box::new(Err(Failed::Open(error)))),
        };
        let reader = thread::Builder::new().name("aim-read".to_owned());
        match reader.spawn_scoped(scope, move || load(file, turn, memory)) {
            Ok(handle) => Self::Ahead(handle),
            Err(error) => Self::Done(Box::new(Err(Failed::Read(no_thread(error))))),
        }
    }

    fn finish(self) -> Result<VerifiedFile, Failed> {
        match self {
            Self::Ahead(handle) => match handle.join() {
                Ok(read) => read.map_err(Failed::Read),
                Err(panic) => std::panic::resume_unwind(panic),
            },
            Self::Done(done) => *done,
        }
    }
}

/// It is this host's trouble, and no fault of the file.
fn no_thread(source: io::Error) -> ReadError {
    ReadError::Io { at: 0, source }
}

fn load(file: ParsedFile, turn: Turn, memory: FileMemory) -> Result<VerifiedFile, ReadError> {
    let file = file.load(memory)?;
    match turn.is_again && !file.is_loaded() {
        // its payloads are checked when they are read
        true => file.verified_before(&turn.position),
        false => file.verify_as(&turn.position),
    }
}

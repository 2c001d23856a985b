//! Journal files copied from folder to folder, and checked on the way.
//!
//! 1. A file is copied under a name that ends in `.tmp`, and synced.
//! 2. The copy is read again, and verified to its last byte.
//! 3. It gets its name. The folder is synced at the end.
//!
//! So nobody sees part of a file under its name, whenever it is stopped; and what has its name is
//! whole, and need not be copied again. Leftovers go with the next call.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::{FileName, ParsedFile, ReadError, VerifiedFile};
use aim_core::state_file::StateError;
use indicatif::ProgressBar;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::form::{self, Formed};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of, one_line};

const CHUNK_BYTES: u64 = 1 << 20;

/// A folder that files are copied into, by nobody else meanwhile.
#[derive(Debug)]
pub(super) struct Carrier {
    to: Arc<dyn Directory>,
    path: PathBuf,
    _lock: File,
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is there now; so many bytes were copied.
    Copied(u64),
    /// It was there before.
    AlreadyThere,
    /// It is gone from where it was.
    Gone,
    /// It is no good, and was not copied: why.
    Refused(String),
}

impl Carrier {
    /// Claims an existing folder, and removes what an interrupted call has left there.
    ///
    /// # Errors
    ///
    /// It is not there, or somebody else is at it.
    pub(super) fn to(path: &Path) -> Outcome<Self> {
        let failed = |error: &io::Error| {
            Problem::new("can't use the directory")
                .at(path.display())
                .hint("it must be there: make it, or mount what it is on")
                .io(error)
        };
        let to: Arc<dyn Directory> = HostDirectory::open(path).map_err(|error| failed(&error))?;
        // network file systems lock files, and no folders
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|error| failed(&error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Problem::new("another `aim journal` copies into it")
                    .at(path.display())
                    .exit(Exit::Busy));
            }
            Err(error) => {
                return Err(Problem::new("can't claim the directory")
                    .at(path.display())
                    .io(&error.into()));
            }
        }
        let carrier = Self {
            to,
            path: path.to_owned(),
            _lock: lock,
        };
        carrier
            .remove_leftovers()
            .map_err(|error| carrier.failed("can't remove what was left over", &error))?;
        Ok(carrier)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Arc<dyn Directory> {
        &self.to
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        for text in self.to.list()? {
            let stem = text.strip_suffix(TEMPORARY);
            if stem.is_some_and(|stem| Formed::parse(stem).is_some()) {
                self.to.remove(&text)?;
            }
        }
        Ok(())
    }

    /// Copies a file unless it is there; `bar` goes on by its length.
    ///
    /// # Errors
    ///
    /// Whatever concerns other files as well.
    pub(super) fn carry(
        &self,
        from: &dyn Directory,
        file: &Formed,
        bar: &ProgressBar,
    ) -> Outcome<Carried> {
        let place = from.path().join(file.text());
        let ours = match form::parse(from, file) {
            Ok(parsed) => parsed,
            Err(error) => return judge(&place, &error),
        };
        let position = match sealed_as(&ours, file.name) {
            Ok(position) => position,
            Err(why) => return Ok(Carried::Refused(why)),
        };
        match self.there(file.name) {
            Some(there) if there == position => {
                bar.inc(length(from, file));
                return Ok(Carried::AlreadyThere);
            }
            Some(_) => {
                let why = "another file of that name is there".to_owned();
                return Ok(Carried::Refused(why));
            }
            None => {}
        }
        let temporary = format!("{}{TEMPORARY}", file.text());
        let carried = self.copy(from, file, &temporary, bar);
        if !matches!(carried, Ok(Carried::Copied(_))) {
            // as good as it goes: the next call removes it too
            let _ = self.to.remove(&temporary);
        }
        carried
    }

    /// Steps 1 to 3.
    fn copy(
        &self,
        from: &dyn Directory,
        file: &Formed,
        temporary: &str,
        bar: &ProgressBar,
    ) -> Outcome<Carried> {
        let text = file.text();
        let place = from.path().join(&text);
        let source = match from.open(&text, false) {
            Ok(source) => source,
            Err(source) => return judge(&place, &ReadError::Io { at: 0, source }),
        };
        let unread = |source| judge(&place, &ReadError::Io { at: 0, source });
        let unwritten = |error: io::Error| self.failed("can't copy into it", &error);
        let len = match source.len() {
            Ok(len) => len,
            Err(error) => return unread(error),
        };
        let copy = self.to.create(temporary).map_err(unwritten)?;
        let mut done = 0;
        while done < len {
            let mut piece = vec![0; (len - done).min(CHUNK_BYTES) as usize];
            if let Err(error) = source.read_exact_at(&mut piece, done) {
                return unread(error);
            }
            copy.write_all_at(&[IoSlice::new(&piece)], done)
                .map_err(unwritten)?;
            done += piece.len() as u64;
            bar.inc(piece.len() as u64);
        }
        copy.sync_data().map_err(unwritten)?;
        drop(copy);
        if let Err(error) = verify(&*self.to, temporary, file.is_packed) {
            // whose fault is it?
            return match verify(from, &text, file.is_packed) {
                Err(ours) => judge(&place, &ours),
                Ok(()) => Err(Problem::new("what was copied reads back differently")
                    .at(self.path.join(&text).display())
                    .because(&error)
                    .hint("the medium may be bad")
                    .exit(Exit::Mismatch)),
            };
        }
        (self.to.rename(temporary, &*self.to, &text)).map_err(unwritten)?;
        Ok(Carried::Copied(len))
    }

    /// The place behind the file of that name that is there, in whichever form, if its header is
    /// right: it got its name when it was whole.
    fn there(&self, name: FileName) -> Option<Position> {
        [false, true].into_iter().find_map(|is_packed| {
            let parsed = form::parse(&*self.to, &Formed { name, is_packed }).ok()?;
            sealed_as(&parsed, name).ok()
        })
    }

    /// Makes durable what was copied.
    pub(super) fn sync(&self) -> Outcome<()> {
        let synced = self.to.sync();
        synced.map_err(|error| self.failed("can't make it durable", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let problem = Problem::new(what).at(self.path.display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => problem
                .hint("make room, and say it again: it goes on where it was")
                .io(error),
            _ => problem.io(error),
        }
    }

    /// A state file in the folder can't be used.
    pub(super) fn unusable(&self, error: &StateError) -> Failure {
        let exit = match error {
            StateError::Io { source, .. } => exit_of(source.kind()),
            _ => Exit::Mismatch,
        };
        Problem::new("can't use the directory")
            .at(self.path.display())
            .because(error)
            .exit(exit)
    }
}

/// Bytes that a file has where it lies; 0 if it is gone.
pub(super) fn length(folder: &dyn Directory, file: &Formed) -> u64 {
    let opened = folder.open(&file.text(), false);
    opened.and_then(|file| file.len()).unwrap_or(0)
}

fn verify(folder: &dyn Directory, text: &str, is_packed: bool) -> Result<(), ReadError> {
    let opened = form::open(folder, text, is_packed);
    let file = opened.map_err(|source| ReadError::Io { at: 0, source })?;
    VerifiedFile::open(file).map(drop)
}

/// The place behind a file, if it is sealed and is the one that its name says.
fn sealed_as(file: &ParsedFile, name: FileName) -> Result<Position, String> {
    match file.position() {
        Some(position) if file.name() == name => Ok(position),
        Some(_) => Err(format!("inside it is {}", file.name())),
        None => Err(one_line(&ReadError::NotSealed)),
    }
}

/// What becomes of a file that can't be read.
fn judge(place: &Path, error: &ReadError) -> Outcome<Carried> {
    match error {
        ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Ok(Carried::Gone)
        }
        error if form::is_damage(error) => Ok(Carried::Refused(one_line(error))),
        ReadError::Io { source, .. } => Err(Problem::new("can't read a journal file")
            .at(place.display())
            .because(error)
            .exit(exit_of(source.kind()))),
        error => Err(Problem::new("can't read a journal file")
            .at(place.display())
            .because(error)
            .exit(Exit::Failed)),
    }
}

/// Held by whoever copies into a folder. It stays there: nobody takes a hidden file for a journal's.
const LOCK: &str = ".aim-journal.lock";

/// The ending of a copy that may not be whole. Nobody else gives it to a file that he writes: the
/// folder is claimed.
const TEMPORARY: &str = ".copy.tmp";

//! Brings an open journal file whose content on the medium is unknown into safety.
//!
//! After a failed sync, and after the death of a process that may have seen one, the page cache
//! shows bytes that may never reach the disk, and a further sync of the same file proves nothing.
//! So what can be read is copied to a fresh file, which is sealed and takes the old one's place.

use std::io::{self, IoSlice};

use crate::failpoint::{Failpoint, reach};
use crate::fs::Directory;
use crate::journal::{FileName, RecoverError, Recovered, SealedFile, recover};
use crate::spool::SourceSpool;
use crate::units::Timestamp;

use super::SeriesError;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What became of the file.
#[derive(Debug)]
pub(super) enum Rescued {
    /// Its good records are sealed and durable; it only lacks cursor and final name.
    Sealed(SealedFile),
    /// It held no record, and was removed.
    Empty,
    /// It can't be read as a journal file: it was set aside, and what it held is unknown.
    Damaged(RecoverError),
}

/// Brings `open/NAME.open` into safety. May be repeated after an error or a crash.
pub(super) fn rescue(
    spool: &SourceSpool,
    name: FileName,
    now: Timestamp,
) -> Result<Rescued, SeriesError> {
    let (open, fresh) = (&**spool.open_folder(), &**spool.rescue_folder());
    let text = name.open();
    let io_error = |source| SeriesError::Io {
        folder: open.path(),
        name: text.clone(),
        source,
    };
    match copy(open, fresh, &text) {
        // removed by an earlier try
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rescued::Empty),
        copied => copied.map_err(io_error)?,
    }
    let file = match recover(fresh, name) {
        Ok(Recovered::Open(file)) => Some(file),
        Ok(Recovered::Empty) => None,
        Ok(Recovered::Sealed(sealed)) => {
            put_back(open, fresh, &text).map_err(io_error)?;
            return Ok(Rescued::Sealed(sealed));
        }
        Err(error) => {
            set_aside(spool, name).map_err(io_error)?;
            return Ok(Rescued::Damaged(error));
        }
    };
    match file {
        Some(file) => {
            let sealed = file.seal(now)?;
            reach(Failpoint::RescueSealed).map_err(io_error)?;
            put_back(open, fresh, &text).map_err(io_error)?;
            Ok(Rescued::Sealed(sealed))
        }
        None => {
            for folder in [open, fresh] {
                folder.remove(&text).map_err(io_error)?;
                folder.sync().map_err(io_error)?;
            }
            Ok(Rescued::Empty)
        }
    }
}

/// Copies what can be read of a file to a fresh one of the same name; durable when this returns.
fn copy(from: &dyn Directory, to: &dyn Directory, name: &str) -> io::Result<()> {
    match to.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let source = from.open(name, false)?;
    let target = to.create(name)?;
    let len = source.len()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < len {
        let piece = &mut buffer[..(len - done).min(CHUNK_BYTES as u64) as usize];
        if let Err(error) = source.read_exact_at(piece, done) {
            // what is behind it can't be used without it
            tracing::error!(file = name, at = done, %error, "a part of an open journal file is lost");
            break;
        }
        target.write_all_at(&[IoSlice::new(piece)], done)?;
        done += piece.len() as u64;
    }
    target.sync_data()?;
    to.sync()?;
    reach(Failpoint::RescueCopied)
}

fn put_back(open: &dyn Directory, fresh: &dyn Directory, name: &str) -> io::Result<()> {
    fresh.rename(name, open, name)?;
    reach(Failpoint::RescueRenamed)?;
    open.sync()?;
    fresh.sync()
}

fn set_aside(spool: &SourceSpool, name: FileName) -> io::Result<()> {
    let (open, damaged) = (spool.open_folder(), spool.damaged_folder());
    let taken = damaged.list()?;
    let kept = (1u64..).map(|number| format!("{name}.{number}"));
    let mut free = kept.filter(|candidate| !taken.contains(candidate));
    let kept = free.next().expect("more numbers than names in a folder");
    open.rename(&name.open(), &**damaged, &kept)?;
    damaged.sync()?;
    open.sync()?;
    spool.rescue_folder().remove(&name.open())
}

//! A mirror host that passes on what it receives.
//!
//! ```text
//! incoming/ ── receiver ── `received` ──▶ applier ──▶ device
//!     │                        │
//!     └──── files up to there ─┴── shippers ──▶ other mirrors, which nobody asks
//! ```
//!
//! Files are passed on by the [shippers](crate::ship) of a source, from `incoming/`, where they stay until they are
//! applied here and every target has them.
//!
//! # Which files
//!
//! The mirror was asked what it holds before something was left out of a group; those behind it were not. They
//! hold the same if they begin with a baseline ([`FollowerIdentity`](aim_core::identity::FollowerIdentity)), and apply from there on just what
//! is applied here. So only files are passed on that this mirror has received one after the other: where
//! it takes up the series behind missing files, these are not passed on, even if they come later. From
//! where on the files are unbroken is durable in [`RelayCursor`] before the first of them counts as
//! received.
//!
//! # Baselines
//!
//! Whoever lacks files needs a baseline, and only the source can make one. `relay.cursor` says so, in the folder
//! that the source looks into anyway. What is asked for there is done when the end of such a
//! baseline is received.

mod spool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aim_core::cursor::{MirrorCursorFile, RelayCursor};
use aim_core::journal::ParsedFile;
use aim_core::spool::{MirrorSpool, Outgoing, SpoolError};
use aim_core::state_file::{StateError, StateFile};
use aim_core::units::{FileNumber, Lsn};

use crate::coordinator::Signal;

/// What a mirror passes on to others, and what it asks for in their name. The receiver of the mirror and the
/// shippers share it.
#[derive(Debug)]
pub struct Relay {
    spool: MirrorSpool,
    cursor: Arc<MirrorCursorFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// As it is, or shall be, stored.
    cursor: RelayCursor,
    is_stored: bool,
    /// Who needs a baseline, and where it has to begin at the earliest.
    wanted: BTreeMap<u32, Lsn>,
    /// Where the last baseline began that is received to its end.
    ended: Lsn,
    /// Who waits for more files.
    waiting: Vec<Weak<Signal>>,
}

impl Relay {
    /// Takes up passing on what arrives in `spool`. Nothing else may have the mirror's cursor open.
    ///
    /// A mirror that has passed on nothing so far begins behind what it has received.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] if the cursors can't be read or stored.
    pub fn open(spool: MirrorSpool) -> Result<Arc<Self>, SpoolError> {
        let cursor = Arc::new(spool.cursor()?);
        let failed = |source| state_failed(&spool, source);
        // what was found may not be durable, and the other cursor is about to rest on it
        let received = cursor.update(|_| {}).map_err(failed)?.received;
        let volume = spool.identity().id;
        let stored = RelayCursor::load(&**spool.root()).map_err(failed)?;
        let stored = match stored {
            Some(stored) => {
                stored.require_volume(volume).map_err(failed)?;
                stored
            }
            None => RelayCursor {
                volume,
                unbroken: received.file.next(),
                wanted: Lsn(0),
                rests: false,
            },
        };
        stored.store(&**spool.root()).map_err(failed)?;
        let relay = Self {
            spool,
            cursor,
            state: Mutex::new(State {
                cursor: stored,
                is_stored: true,
                wanted: BTreeMap::new(),
                ended: Lsn(0),
                waiting: Vec::new(),
            }),
        };
        let ended = relay.last_baseline()?;
        relay.lock().ended = ended;
        Ok(Arc::new(relay))
    }

    /// Says for the mirror in `spool` that it passes on nothing; what it passes on later begins anew.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if that can't be made durable.
    pub fn close(spool: &MirrorSpool) -> Result<(), SpoolError> {
        let root = spool.root();
        let removed = match root.remove(RelayCursor::NAME) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed,
        };
        removed
            .and_then(|()| root.sync())
            .map_err(|source| SpoolError::Io {
                path: root.path().join(RelayCursor::NAME),
                source,
            })
    }

    /// The mirror's folder.
    pub fn spool(&self) -> &MirrorSpool {
        &self.spool
    }

    /// The mirror's cursor.
    pub fn cursor(&self) -> &Arc<MirrorCursorFile> {
        &self.cursor
    }

    /// Where a baseline has to begin that somebody behind this mirror needs; 0: none is needed.
    pub fn wanted(&self) -> Lsn {
        self.lock().cursor.wanted
    }

    /// The file is about to be received, with files missing before it. Durable when this returns.
    pub(crate) fn break_before(&self, number: FileNumber) -> Result<(), SpoolError> {
        let mut state = self.lock();
        if state.cursor.unbroken < number {
            let cursor = RelayCursor {
                unbroken: number,
                ..state.cursor
            };
            // the files count as unbroken only from there on, even if this can't be stored
            state.cursor = cursor;
            state.is_stored = false;
        }
        self.store(&mut state)
            .map_err(|source| state_failed(&self.spool, source))
    }

    /// A file was received; the last baseline that ends in it began at `ended`, if that is not 0.
    pub(crate) fn note_received(&self, ended: Lsn) {
        let mut state = self.lock();
        state.ended = state.ended.max(ended);
        self.settle(&mut state);
        state.waiting.retain(|signal| {
            let signal = signal.upgrade();
            signal.is_some_and(|signal| {
                signal.hint();
                true
            })
        });
    }

    /// Hints at a signal when a file is received.
    pub(crate) fn tell(&self, signal: &Arc<Signal>) {
        self.lock().waiting.push(Arc::downgrade(signal));
    }

    /// Wants a baseline that begins at `from` or behind it, on behalf of `who`.
    pub(crate) fn want(&self, who: u32, from: Lsn) {
        let mut state = self.lock();
        state.wanted.insert(who, from);
        self.settle(&mut state);
    }

    /// Does not need one any more.
    pub(crate) fn unwant(&self, who: u32) {
        let mut state = self.lock();
        if state.wanted.remove(&who).is_some() {
            self.settle(&mut state);
        }
    }

    /// Lets a baseline rest, or go on.
    pub(crate) fn pause(&self, rests: bool) {
        let mut state = self.lock();
        if state.cursor.rests != rests {
            state.cursor.rests = rests;
            state.is_stored = false;
        }
        self.settle(&mut state);
    }

    /// Where the last baseline began that is received to its end; 0: none is that is still here.
    pub(crate) fn ended(&self) -> Lsn {
        self.lock().ended
    }

    /// Stores what is needed now, if that has changed, or could not be stored.
    fn settle(&self, state: &mut State) {
        let wanted = state.wanted.values().copied();
        let wanted = wanted.filter(|from| *from > state.ended).max();
        let wanted = wanted.unwrap_or(Lsn(0));
        if state.cursor.wanted != wanted {
            state.cursor.wanted = wanted;
            state.is_stored = false;
        }
        if let Err(error) = self.store(state) {
            tracing::warn!(%error, "what is needed for those behind this mirror can't be noted");
        }
    }

    fn store(&self, state: &mut State) -> Result<(), StateError> {
        if !state.is_stored {
            state.cursor.store(&**self.spool.root())?;
            state.is_stored = true;
        }
        Ok(())
    }

    /// Where the last baseline began that ends in a file that is here.
    fn last_baseline(&self) -> Result<Lsn, SpoolError> {
        let files = self.look()?.listing.files;
        let folder = self.folder();
        let ended = files.iter().filter_map(|file| {
            let file = folder.open(&file.name.sealed(), false).ok()?;
            let parsed = ParsedFile::open(file).ok()?;
            Some(parsed.header().seal?.baseline_ended)
        });
        Ok(ended.max().unwrap_or(Lsn(0)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_failed(spool: &MirrorSpool, source: StateError) -> SpoolError {
    let folder = spool.root().path();
    SpoolError::State { folder, source }
}

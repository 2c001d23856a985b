//! The mirror's cursor: `mirror.cursor`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Position;
use super::position::PositionRecord;
use crate::fs::Directory;
use crate::state_file::{StateError, StateFile, frame, require_value, require_volume, unframe};
use crate::units::{FileNumber, Timestamp, VolumeId};

/// How far the mirror is: `mirror.cursor`. The source reads it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorCursor {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// The last file that is verified and durable on the mirror host. Never before `applied`.
    pub received: Position,
    /// The mirror's devices may have been touched up to here. Never before `applied`; equal to
    /// it at rest. Never in a group.
    pub intent: Position,
    /// The last file whose every transaction is durable on the mirror's devices. Never in a group.
    pub applied: Position,
    /// Time of the newest applied transaction; 0 before the first.
    pub applied_time: Timestamp,
    /// The file at whose baseline the series goes on behind `applied`: the files between are
    /// missing. 0: it goes on with the next file. Behind `applied`, and not behind `received`.
    pub base: FileNumber,
}

impl MirrorCursor {
    /// The cursor of a mirror that has received nothing yet.
    pub const fn new(volume: VolumeId) -> Self {
        Self {
            volume,
            received: Position::START,
            intent: Position::START,
            applied: Position::START,
            applied_time: Timestamp(0),
            base: FileNumber(0),
        }
    }

    /// Whether the devices hold exactly what `applied` says. If not, an apply was interrupted:
    /// the mirror must not be used until the files up to `intent` have been applied again.
    pub fn is_settled(&self) -> bool {
        self.intent == self.applied
    }
}

impl StateFile for MirrorCursor {
    const NAME: &'static str = "mirror.cursor";

    fn encode(&self) -> Vec<u8> {
        let body = MirrorBody {
            volume: self.volume.0,
            received: self.received.into(),
            intent: self.intent.into(),
            applied: self.applied.into(),
            applied_time: self.applied_time.get().into(),
            base: self.base.get().into(),
        };
        frame(MIRROR_MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: MirrorBody = unframe(Self::NAME, MIRROR_MAGIC, bytes)?;
        let applied = body.applied.parse(Self::NAME)?;
        let intent = body.intent.parse(Self::NAME)?;
        let received = body.received.parse(Self::NAME)?;
        for (field, position) in [("intent", intent), ("received", received)] {
            require_value(Self::NAME, field, position.lsn.get(), |lsn| {
                lsn >= applied.lsn.get()
            })?;
        }
        for (field, position) in [
            ("the intent's open_group", intent),
            ("applied's open_group", applied),
        ] {
            require_value(Self::NAME, field, position.open_group.get(), |lsn| lsn == 0)?;
        }
        require_value(Self::NAME, "base", body.base.get(), |base| {
            base == 0 || base > applied.file.get() && base <= received.file.get()
        })?;
        Ok(Self {
            volume: VolumeId(body.volume),
            received,
            intent,
            applied,
            applied_time: Timestamp(body.applied_time.get()),
            base: FileNumber(body.base.get()),
        })
    }
}

/// The mirror's cursor and the file that it is kept in, shared by the receiver and the applier.
///
/// A change is seen by others only once it is durable.
#[derive(Debug)]
pub struct MirrorCursorFile {
    directory: Arc<dyn Directory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cursor: MirrorCursor,
    /// What the file holds may not be durable, or later than this: storing a cursor failed, or it
    /// is not known how that ended in an earlier process.
    is_unsure: bool,
}

impl MirrorCursorFile {
    /// Takes the cursor in `directory`, or starts at the start for `volume`.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it is damaged; [`StateError::Volume`] if it belongs to another volume.
    pub fn open(directory: Arc<dyn Directory>, volume: VolumeId) -> Result<Self, StateError> {
        let stored = MirrorCursor::load(&*directory)?;
        let is_unsure = stored.is_some();
        let cursor = stored.unwrap_or_else(|| MirrorCursor::new(volume));
        require_volume(MirrorCursor::NAME, cursor.volume, volume)?;
        Ok(Self {
            directory,
            state: Mutex::new(State { cursor, is_unsure }),
        })
    }

    /// The folder that it is kept in.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// The cursor as it is stored; durably, once [`update`](Self::update) was called.
    pub fn get(&self) -> MirrorCursor {
        self.lock().cursor
    }

    /// Changes the cursor, or not; what it gives is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]: the change may or may not survive a crash, so it must be one that is
    /// already true; [`get`](Self::get) gives the cursor from before. The next update stores it
    /// again even if it changes nothing: who relies on a value, as on an intent, must not meet a
    /// later one after a crash.
    pub fn update(
        &self,
        change: impl FnOnce(&mut MirrorCursor),
    ) -> Result<MirrorCursor, StateError> {
        let mut state = self.lock();
        let mut changed = state.cursor;
        change(&mut changed);
        if changed != state.cursor || state.is_unsure {
            state.is_unsure = true;
            changed.store(&*self.directory)?;
            *state = State {
                cursor: changed,
                is_unsure: false,
            };
        }
        Ok(changed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MIRROR_MAGIC: [u8; 8] = *b"\x89AIMcur\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct MirrorBody {
    volume: [u8; 16],
    received: PositionRecord,
    intent: PositionRecord,
    applied: PositionRecord,
    applied_time: U64,
    base: U64,
}

const _: () = assert!(size_of::<MirrorBody>() == 224);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::SealedCursor;
    use crate::fs::HostDirectory;
    use crate::state_file::tests::assert_exact;
    use crate::units::{Epoch, Lsn};

    fn position(file: u64) -> Position {
        Position {
            epoch: Epoch(1),
            file: FileNumber(file),
            lsn: Lsn(file * 100),
            digest: [file as u8; 32],
            open_group: Lsn(0),
        }
    }

    fn mirror_cursor() -> MirrorCursor {
        MirrorCursor {
            volume: VolumeId([0xab; 16]),
            received: position(9),
            intent: position(8),
            applied: position(7),
            applied_time: Timestamp(1_700_000_000_000_000_000),
            base: FileNumber(8),
        }
    }

    #[test]
    fn cursors_come_back_and_no_altered_one_is_taken() {
        assert_exact(&mirror_cursor());
        assert_exact(&SealedCursor {
            volume: VolumeId([7; 16]),
            sealed: position(3),
        });
    }

    #[test]
    fn applied_never_passes_intent_or_received() {
        let low_intent = MirrorCursor {
            intent: position(6),
            ..mirror_cursor()
        };
        let decoded = MirrorCursor::decode(&low_intent.encode());
        assert!(matches!(
            decoded,
            Err(StateError::Value {
                field: "intent",
                value: 600,
                ..
            })
        ));
        let low_received = MirrorCursor {
            received: position(6),
            ..mirror_cursor()
        };
        assert!(MirrorCursor::decode(&low_received.encode()).is_err());
        for base in [7, 10] {
            let misplaced = MirrorCursor {
                base: FileNumber(base),
                ..mirror_cursor()
            };
            let decoded = MirrorCursor::decode(&misplaced.encode());
            assert!(matches!(
                decoded,
                Err(StateError::Value { field: "base", .. })
            ));
        }
    }

    #[test]
    fn the_file_is_missing_then_kept_and_belongs_to_one_volume() {
        let temp = tempfile::tempdir().unwrap();
        let dir: Arc<dyn Directory> = HostDirectory::open(temp.path()).unwrap();
        assert_eq!(MirrorCursor::load(&*dir).unwrap(), None);
        let volume = VolumeId::generate();
        let file = MirrorCursorFile::open(dir.clone(), volume).unwrap();
        assert!(file.get().is_settled());
        file.update(|cursor| cursor.intent = position(5)).unwrap();
        let again = MirrorCursorFile::open(dir.clone(), volume).unwrap();
        assert_eq!(again.get().intent, position(5));
        assert!(!again.get().is_settled());
        let foreign = MirrorCursorFile::open(dir, VolumeId::generate());
        assert!(matches!(foreign, Err(StateError::Volume { found, .. }) if found == volume));
    }
}

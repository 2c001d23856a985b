//! How far a mirror is that follows an object store: `readers/MIRROR`.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Position;
use super::position::PositionRecord;
use crate::state_file::{StateError, StateFile, frame, require_value, require_volume, unframe};
use crate::units::{MirrorId, Timestamp, VolumeId};

/// How far a mirror is that follows an object store. It puts this into the store from time to time,
/// so that the source can show it, and knows what is still of use there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreReader {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// Which mirror it is.
    pub mirror: MirrorId,
    /// When it said so, by its own clock.
    pub seen: Timestamp,
    /// The last file that is verified and durable on its host.
    pub received: Position,
    /// The last file whose every transaction is durable on its devices.
    pub applied: Position,
}

impl StoreReader {
    /// The folder of the store in which each has a file, with the mirror's id as its name.
    pub const FOLDER: &'static str = "readers";

    /// Refuses that of another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }
}

impl StateFile for StoreReader {
    const NAME: &'static str = "reader";

    fn encode(&self) -> Vec<u8> {
        let body = Body {
            volume: self.volume.0,
            mirror: self.mirror.0,
            seen: self.seen.get().into(),
            received: self.received.into(),
            applied: self.applied.into(),
        };
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: Body = unframe(Self::NAME, MAGIC, bytes)?;
        let received = body.received.parse(Self::NAME)?;
        let applied = body.applied.parse(Self::NAME)?;
        require_value(Self::NAME, "received", received.lsn.get(), |lsn| {
            lsn >= applied.lsn.get()
        })?;
        Ok(Self {
            volume: VolumeId(body.volume),
            mirror: MirrorId(body.mirror),
            seen: Timestamp(body.seen.get()),
            received,
            applied,
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMrea\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Body {
    volume: [u8; 16],
    mirror: [u8; 16],
    seen: U64,
    received: PositionRecord,
    applied: PositionRecord,
}

const _: () = assert!(size_of::<Body>() == 168);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;
    use crate::units::{Epoch, FileNumber, Lsn};

    fn reader(received: u64, applied: u64) -> StoreReader {
        let position = |file: u64| Position {
            epoch: Epoch(1),
            file: FileNumber(file),
            lsn: Lsn(file * 100),
            digest: [file as u8; 32],
            open_group: Lsn(0),
        };
        StoreReader {
            volume: VolumeId([0xab; 16]),
            mirror: MirrorId([0xcd; 16]),
            seen: Timestamp(1_700_000_000_000_000_000),
            received: position(received),
            applied: position(applied),
        }
    }

    #[test]
    fn it_comes_back_and_no_altered_one_is_taken() {
        assert_exact(&reader(9, 7));
    }

    #[test]
    fn nothing_is_applied_that_was_not_received() {
        assert!(StoreReader::decode(&reader(6, 7).encode()).is_err());
    }
}

//! The source's cursor: `sealed.cursor`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Position;
use super::position::PositionRecord;
use crate::state_file::{StateError, StateFile, frame, require_volume, unframe};
use crate::units::VolumeId;

/// How far the source's journal is sealed: `sealed.cursor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedCursor {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// The last file that was sealed. It is stored before the file gets its final name.
    pub sealed: Position,
}

impl SealedCursor {
    /// Refuses a cursor that belongs to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }
}

impl StateFile for SealedCursor {
    const NAME: &'static str = "sealed.cursor";

    fn encode(&self) -> Vec<u8> {
        let body = SealedBody {
            volume: self.volume.0,
            sealed: self.sealed.into(),
        };
        frame(SEALED_MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: SealedBody = unframe(Self::NAME, SEALED_MAGIC, bytes)?;
        Ok(Self {
            volume: VolumeId(body.volume),
            sealed: body.sealed.parse(Self::NAME)?,
        })
    }
}

const SEALED_MAGIC: [u8; 8] = *b"\x89AIMsea\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SealedBody {
    volume: [u8; 16],
    sealed: PositionRecord,
}

const _: () = assert!(size_of::<SealedBody>() == 80);

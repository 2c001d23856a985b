//! What a mirror host passes on, and what it needs for that: `relay.cursor`.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::state_file::{
    StateError, StateFile, frame, require_value, require_volume, require_zero, unframe,
};
use crate::units::{FileNumber, Lsn, VolumeId};

/// What a mirror host passes on to others, and what it needs for that: `relay.cursor`, in the mirror's
/// folder. Whoever ships to the mirror reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayCursor {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// From here on the mirror has received each file, in order: only these are passed on.
    pub unbroken: FileNumber,
    /// A baseline is needed that begins here or behind it; 0: none is.
    pub wanted: Lsn,
    /// Whether a baseline rests, so that those who need it catch up.
    pub rests: bool,
}

impl RelayCursor {
    /// Refuses a cursor that belongs to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }
}

impl StateFile for RelayCursor {
    const NAME: &'static str = "relay.cursor";

    fn encode(&self) -> Vec<u8> {
        let body = RelayBody {
            volume: self.volume.0,
            unbroken: self.unbroken.get().into(),
            wanted: self.wanted.get().into(),
            rests: u32::from(self.rests).into(),
            reserved: [0; 12],
        };
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: RelayBody = unframe(Self::NAME, MAGIC, bytes)?;
        require_zero(Self::NAME, &body.reserved)?;
        let rests = body.rests.get();
        require_value(Self::NAME, "rests", rests.into(), |rests| rests <= 1)?;
        Ok(Self {
            volume: VolumeId(body.volume),
            unbroken: FileNumber(body.unbroken.get()),
            wanted: Lsn(body.wanted.get()),
            rests: rests == 1,
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMrel\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RelayBody {
    volume: [u8; 16],
    unbroken: U64,
    wanted: U64,
    rests: U32,
    reserved: [u8; 12],
}

const _: () = assert!(size_of::<RelayBody>() == 48);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;

    #[test]
    fn the_cursor_is_exact_and_no_other_is_taken() {
        let cursor = RelayCursor {
            volume: VolumeId([5; 16]),
            unbroken: FileNumber(7),
            wanted: Lsn(71),
            rests: true,
        };
        assert_exact(&cursor);
        let mut body: RelayBody = unframe(RelayCursor::NAME, MAGIC, &cursor.encode()).unwrap();
        body.rests = 2.into();
        let decoded = RelayCursor::decode(&frame(MAGIC, &body));
        assert!(matches!(decoded, Err(StateError::Value { .. })));
    }
}

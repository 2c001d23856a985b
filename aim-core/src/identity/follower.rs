//! That a mirror is never asked what it holds: `follower.id`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::state_file::{StateError, StateFile, frame, require_volume, require_zero, unframe};
use crate::units::VolumeId;

/// That a mirror is never asked what it holds: a relay or a store brings it the series.
///
/// A group leaves out what those hold who were asked. So whoever has this file in its folder begins
/// at a baseline: from there on it holds what they do. Where the file is missing a mirror may begin
/// with the first file, whatever its devices hold; so it is brought before `volume.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerIdentity {
    /// The volume that is mirrored.
    pub volume: VolumeId,
}

impl FollowerIdentity {
    /// Refuses a file that belongs to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }
}

impl StateFile for FollowerIdentity {
    const NAME: &'static str = "follower.id";

    fn encode(&self) -> Vec<u8> {
        let body = FollowerBody {
            volume: self.volume.0,
            reserved: [0; 16],
        };
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: FollowerBody = unframe(Self::NAME, MAGIC, bytes)?;
        require_zero(Self::NAME, &body.reserved)?;
        Ok(Self {
            volume: VolumeId(body.volume),
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMfol\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FollowerBody {
    volume: [u8; 16],
    reserved: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;

    #[test]
    fn it_comes_back_and_no_altered_one_is_taken() {
        assert_exact(&FollowerIdentity {
            volume: VolumeId::generate(),
        });
    }
}

//! Which devices on the mirror host a volume may be applied to: `mirror.id`.

use std::fmt;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::DEVICES_MAX;
use crate::state_file::{StateError, StateFile, frame, require_value, require_zero, unframe};
use crate::units::{MirrorId, VolumeId};

/// A digest of what makes a disk recognizable on its host: serial number, world wide name.
///
/// All zeroes: the disk has nothing of that kind, and is recognized by its path and size alone.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a disk without anything recognizable.
    pub const UNKNOWN: Self = Self([0; 32]);

    /// The digest of a text that stays with a disk.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }

    /// Whether a disk with the fingerprint `found` may be the one that was paired.
    pub fn admits(&self, found: Self) -> bool {
        *self == Self::UNKNOWN || *self == found
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(")?;
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// A mirror: the pairing of a volume with devices on the mirror host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorIdentity {
    /// Distinguishes the mirrors of one volume.
    pub id: MirrorId,
    /// The volume that it mirrors.
    pub volume: VolumeId,
    /// The paired devices, in the order of the volume's.
    pub devices: Vec<Fingerprint>,
}

impl StateFile for MirrorIdentity {
    const NAME: &'static str = "mirror.id";

    /// # Panics
    ///
    /// If there are more than [`DEVICES_MAX`] devices.
    fn encode(&self) -> Vec<u8> {
        let mut body = MirrorBody {
            mirror: self.id.0,
            volume: self.volume.0,
            device_count: (self.devices.len() as u32).into(),
            reserved: [0; 12],
            devices: [[0; 32]; DEVICES_MAX],
        };
        for (record, device) in body.devices[..self.devices.len()]
            .iter_mut()
            .zip(&self.devices)
        {
            *record = device.0;
        }
        frame(MIRROR_MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: MirrorBody = unframe(Self::NAME, MIRROR_MAGIC, bytes)?;
        require_zero(Self::NAME, &body.reserved)?;
        let count = body.device_count.get();
        require_value(Self::NAME, "device count", count.into(), |count| {
            (1..=DEVICES_MAX as u64).contains(&count)
        })?;
        let (used, unused) = body.devices.split_at(count as usize);
        require_zero(Self::NAME, unused.as_bytes())?;
        Ok(Self {
            id: MirrorId(body.mirror),
            volume: VolumeId(body.volume),
            devices: used.iter().map(|&bytes| Fingerprint(bytes)).collect(),
        })
    }
}

const MIRROR_MAGIC: [u8; 8] = *b"\x89AIMmir\n";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct MirrorBody {
    mirror: [u8; 16],
    volume: [u8; 16],
    device_count: U32,
    reserved: [u8; 12],
    devices: [[u8; 32]; DEVICES_MAX],
}

const _: () = assert!(size_of::<MirrorBody>() == 560);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;

    #[test]
    fn pairing_comes_back_and_no_altered_one_is_taken() {
        assert_exact(&MirrorIdentity {
            id: MirrorId::generate(),
            volume: VolumeId::generate(),
            devices: vec![
                Fingerprint::of("wwn-0x5000c500a1b2c3d4"),
                Fingerprint::UNKNOWN,
            ],
        });
    }

    #[test]
    fn an_unknown_fingerprint_admits_any_disk() {
        let known = Fingerprint::of("serial");
        assert!(Fingerprint::UNKNOWN.admits(known));
        assert!(known.admits(known));
        assert!(!known.admits(Fingerprint::of("another")));
        assert!(!known.admits(Fingerprint::UNKNOWN));
    }
}

//! What the source knows of each place that it ships to: `targets.cursor`.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Position;
use super::position::PositionRecord;
use crate::state_file::{
    StateError, StateFile, frame, require_value, require_volume, require_zero, unframe,
};
use crate::units::{FileNumber, Lsn, MirrorId, VolumeId};

/// Most targets of a volume.
pub const TARGETS_MAX: usize = 16;
/// Most bytes of a target's name.
pub const TARGET_NAME_MAX: usize = 32;

/// What the source knows of each place that it ships to.
///
/// It decides which files are kept, and for whom the series is compared; never what a mirror may
/// apply. Where it is older than the truth, or missing, more is kept and more is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetsCursor {
    /// The volume that the series belongs to.
    pub volume: VolumeId,
    /// The begin of the last group for which mirrors were asked what they hold; 0: of none. What a
    /// group leaves out, only those hold who were asked.
    pub compared: Lsn,
    /// At most [`TARGETS_MAX`].
    pub targets: Vec<TargetRecord>,
}

/// What the source knows of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecord {
    /// Its name: ASCII, 1 to [`TARGET_NAME_MAX`] bytes.
    pub name: String,
    /// Which mirror was found there; zeroes: none yet.
    pub mirror: MirrorId,
    /// Where it stands.
    pub standing: Standing,
    /// The last file that it was known to have, verified and durable.
    pub received: Position,
    /// Where it is to take up the series: files from here on are kept for it; 0: it does not.
    pub from: FileNumber,
    /// The baseline that it needs begins here at the earliest.
    pub from_lsn: Lsn,
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known of it: all files are kept for it until it was reached.
    #[default]
    New,
    /// It lacks no file that is not here, and was asked about every group that was compared.
    Follows,
    /// It lacks files, and takes up the series at a baseline.
    Joins,
    /// It was too far behind: no file is kept for it.
    Left,
}

impl Standing {
    const ALL: [Self; 4] = [Self::New, Self::Follows, Self::Joins, Self::Left];

    fn number(self) -> u32 {
        match self {
            Self::New => 1,
            Self::Follows => 2,
            Self::Joins => 3,
            Self::Left => 4,
        }
    }
}

impl TargetRecord {
    /// A target of which nothing is known.
    pub fn new(name: &str, standing: Standing) -> Self {
        Self {
            name: name.to_owned(),
            mirror: MirrorId::default(),
            standing,
            received: Position::START,
            from: FileNumber(0),
            from_lsn: Lsn(0),
        }
    }

    /// The first file that is kept for it; `None`: it holds nothing back.
    pub fn needs_from(&self) -> Option<FileNumber> {
        match self.standing {
            Standing::New => Some(FileNumber(1)),
            Standing::Follows => Some(self.received.file.next()),
            Standing::Joins => Some(self.from.max(self.received.file.next())),
            Standing::Left => None,
        }
    }
}

impl TargetsCursor {
    /// Refuses a cursor that belongs to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }
}

impl StateFile for TargetsCursor {
    const NAME: &'static str = "targets.cursor";

    /// # Panics
    ///
    /// If there are more targets than [`TARGETS_MAX`], or a name is too long.
    fn encode(&self) -> Vec<u8> {
        let mut body = Body::new_zeroed();
        body.volume = self.volume.0;
        body.compared = self.compared.get().into();
        body.count = (self.targets.len() as u32).into();
        for (index, target) in self.targets.iter().enumerate() {
            let entry = &mut body.targets[index];
            entry.name[..target.name.len()].copy_from_slice(target.name.as_bytes());
            entry.mirror = target.mirror.0;
            entry.standing = target.standing.number().into();
            entry.received = target.received.into();
            entry.from = target.from.get().into();
            entry.from_lsn = target.from_lsn.get().into();
        }
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: Body = unframe(Self::NAME, MAGIC, bytes)?;
        require_zero(Self::NAME, body.reserved.as_bytes())?;
        let count = body.count.get();
        require_value(Self::NAME, "target count", count.into(), |count| {
            count <= TARGETS_MAX as u64
        })?;
        let (used, unused) = body.targets.split_at(count as usize);
        require_zero(Self::NAME, unused.as_bytes())?;
        Ok(Self {
            volume: VolumeId(body.volume),
            compared: Lsn(body.compared.get()),
            targets: used
                .iter()
                .map(RawTarget::parse)
                .collect::<Result<_, _>>()?,
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMtar\n";

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Body {
    volume: [u8; 16],
    compared: U64,
    count: U32,
    reserved: U32,
    targets: [RawTarget; TARGETS_MAX],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTarget {
    name: [u8; TARGET_NAME_MAX],
    mirror: [u8; 16],
    standing: U32,
    reserved: U32,
    received: PositionRecord,
    from: U64,
    from_lsn: U64,
}

const _: () = assert!(size_of::<Body>() == 2208);

impl RawTarget {
    fn parse(&self) -> Result<TargetRecord, StateError> {
        const NAME: &str = TargetsCursor::NAME;
        require_zero(NAME, self.reserved.as_bytes())?;
        let len = self.name.iter().position(|byte| *byte == 0);
        let (name, rest) = self.name.split_at(len.unwrap_or(TARGET_NAME_MAX));
        require_zero(NAME, rest)?;
        let odd = name.iter().find(|byte| !byte.is_ascii_graphic());
        let odd = odd.copied().or_else(|| name.is_empty().then_some(0));
        require_value(NAME, "name", odd.map_or(1, u64::from), |_| odd.is_none())?;
        let number = self.standing.get();
        let standing = Standing::ALL
            .into_iter()
            .find(|standing| standing.number() == number);
        require_value(NAME, "standing", number.into(), |_| standing.is_some())?;
        Ok(TargetRecord {
            // ASCII
            name: String::from_utf8_lossy(name).into_owned(),
            mirror: MirrorId(self.mirror),
            standing: standing.unwrap_or_default(),
            received: self.received.parse(NAME)?,
            from: FileNumber(self.from.get()),
            from_lsn: Lsn(self.from_lsn.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;
    use crate::units::Epoch;

    fn cursor() -> TargetsCursor {
        let position = Position {
            epoch: Epoch(1),
            file: FileNumber(7),
            lsn: Lsn(70),
            digest: [7; 32],
            open_group: Lsn(65),
        };
        let targets = Standing::ALL.into_iter().enumerate();
        TargetsCursor {
            volume: VolumeId([3; 16]),
            compared: Lsn(5),
            targets: targets
                .map(|(index, standing)| TargetRecord {
                    mirror: MirrorId([index as u8; 16]),
                    received: position,
                    from: FileNumber(9),
                    from_lsn: Lsn(71),
                    ..TargetRecord::new(&"x".repeat(32 - index), standing)
                })
                .collect(),
        }
    }

    #[test]
    fn the_cursor_is_exact_and_no_other_is_taken() {
        assert_exact(&cursor());
        let refused = |change: &dyn Fn(&mut Body)| {
            let mut body = unframe(TargetsCursor::NAME, MAGIC, &cursor().encode()).unwrap();
            change(&mut body);
            let decoded = TargetsCursor::decode(&frame(MAGIC, &body));
            assert!(
                matches!(decoded, Err(StateError::Value { .. })),
                "{decoded:?}"
            );
        };
        refused(&|body| body.count = 17.into());
        refused(&|body| body.count = 3.into());
        refused(&|body| body.targets[0].standing = 5.into());
        refused(&|body| body.targets[0].name = [0; 32]);
        refused(&|body| body.targets[0].name[3] = b' ');
        refused(&|body| body.targets[3].name[30] = b'y');
    }

    #[test]
    fn what_is_kept_follows_from_where_it_stands() {
        let needs = cursor()
            .targets
            .into_iter()
            .map(|target| target.needs_from());
        let needs: Vec<_> = needs.map(|from| from.map(FileNumber::get)).collect();
        assert_eq!(needs, [Some(1), Some(8), Some(9), None]);
    }
}

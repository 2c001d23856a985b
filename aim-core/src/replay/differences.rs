//! Where the mirror is known to differ from the source: `mirror.differences`.

use std::collections::BTreeMap;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::identity::DEVICES_MAX;
use crate::state_file::{
    StateError, StateFile, frame, require_value, require_volume, require_zero, unframe,
};
use crate::units::{ByteLen, ByteOffset, Lsn, VolumeId};

/// Ranges that are kept at most. With one more the two that lie nearest to each other become one:
/// too much may be named, never too little.
pub const RANGES_MAX: usize = 128;

// of more ranges than devices two are on the same one
const _: () = assert!(RANGES_MAX >= DEVICES_MAX);

/// A range of one device of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRange {
    /// Which device of the volume.
    pub device: u16,
    /// First byte on the device.
    pub offset: ByteOffset,
    /// Bytes from there, at least one.
    pub len: ByteLen,
}

/// What verify records have shown to be different, or a follower's baseline did not bring, and nothing
/// has overwritten since.
///
/// The state belongs to [`as_of`](Self::as_of), and to every later position that the mirror has
/// reached: it is stored where it changes, before the mirror's `applied` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differences {
    volume: VolumeId,
    as_of: Lsn,
    mismatches: u64,
    skipped_bytes: u64,
    /// End of each range, by device and start; none touches another.
    ranges: BTreeMap<(u16, u64), u64>,
}

impl Differences {
    /// Nothing is known to differ.
    pub const fn new(volume: VolumeId) -> Self {
        Self {
            volume,
            as_of: Lsn(0),
            mismatches: 0,
            skipped_bytes: 0,
            ranges: BTreeMap::new(),
        }
    }

    /// Refuses differences that belong to another volume than `expected`.
    pub fn require_volume(&self, expected: VolumeId) -> Result<(), StateError> {
        require_volume(Self::NAME, self.volume, expected)
    }

    /// The last LSN of the run of files that has changed it last.
    pub fn as_of(&self) -> Lsn {
        self.as_of
    }

    /// Verify records of the series that have not matched, also where it was mended since.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// Bytes of verify records of the series that were not compared, because the devices may have
    /// been ahead of them: such records prove nothing.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Whether nothing is known to differ.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes of all ranges together.
    pub fn bytes(&self) -> ByteLen {
        ByteLen(self.ranges().map(|range| range.len.get()).sum())
    }

    /// The ranges, by device and offset; none touches another.
    pub fn ranges(&self) -> impl Iterator<Item = DeviceRange> + '_ {
        let ranges = self.ranges.iter();
        ranges.map(|(&(device, start), &end)| DeviceRange {
            device,
            offset: ByteOffset(start),
            len: ByteLen(end - start),
        })
    }

    /// A verify record has not matched.
    pub(super) fn note_mismatch(&mut self, range: DeviceRange) {
        self.mismatches += 1;
        self.insert(range);
    }

    /// It is not known whether the range holds what the source does.
    pub(super) fn note_unknown(&mut self, range: DeviceRange) {
        self.insert(range);
    }

    /// A verify record was not compared.
    pub(super) fn note_skipped(&mut self, range: DeviceRange) {
        self.skipped_bytes = self.skipped_bytes.saturating_add(range.len.get());
    }

    /// A verify record has matched, or the range was overwritten with what the source has.
    pub(super) fn note_equal(&mut self, range: DeviceRange) {
        // nearly always
        if !self.is_empty() {
            self.subtract(range);
        }
    }

    /// Says that it is the state behind `as_of`.
    pub(super) fn set_as_of(&mut self, as_of: Lsn) {
        self.as_of = as_of;
    }

    fn insert(&mut self, range: DeviceRange) {
        let (device, mut start, mut end) = bounds(range);
        // whatever it overlaps or touches becomes a part of it
        while let Some((other, other_end)) = self.last_before(device, end.saturating_add(1))
            && other_end >= start
        {
            self.ranges.remove(&(device, other));
            (start, end) = (start.min(other), end.max(other_end));
        }
        self.ranges.insert((device, start), end);
        self.keep_bounded();
    }

    fn subtract(&mut self, range: DeviceRange) {
        let (device, start, end) = bounds(range);
        while let Some((other, other_end)) = self.last_before(device, end)
            && other_end > start
        {
            self.ranges.remove(&(device, other));
            if other_end > end {
                self.ranges.insert((device, end), other_end);
            }
            if other < start {
                self.ranges.insert((device, other), start);
            }
        }
        self.keep_bounded();
    }

    /// The last range of a device that starts before `before`.
    fn last_before(&self, device: u16, before: u64) -> Option<(u64, u64)> {
        let found = self.ranges.range((device, 0)..(device, before));
        found.last().map(|(&(_, start), &end)| (start, end))
    }

    fn keep_bounded(&mut self) {
        while self.ranges.len() > RANGES_MAX {
            let pairs = self.ranges.iter().zip(self.ranges.iter().skip(1));
            let of_one_device = pairs.filter(|((left, _), (right, _))| left.0 == right.0);
            let nearest = of_one_device.min_by_key(|((_, end), (right, _))| right.1 - **end);
            let Some(((&left, _), (&right, &end))) = nearest else {
                return;
            };
            self.ranges.remove(&right);
            self.ranges.insert(left, end);
        }
    }
}

fn bounds(range: DeviceRange) -> (u16, u64, u64) {
    let start = range.offset.get();
    (range.device, start, start.saturating_add(range.len.get()))
}

impl StateFile for Differences {
    const NAME: &'static str = "mirror.differences";

    fn encode(&self) -> Vec<u8> {
        let mut body = Body::new_zeroed();
        body.volume = self.volume.0;
        body.as_of = self.as_of.get().into();
        body.mismatches = self.mismatches.into();
        body.skipped_bytes = self.skipped_bytes.into();
        body.count = (self.ranges.len() as u32).into();
        for (entry, range) in body.ranges.iter_mut().zip(self.ranges()) {
            entry.offset = range.offset.get().into();
            entry.len = range.len.get().into();
            entry.device = range.device.into();
        }
        frame(MAGIC, &body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let body: Body = unframe(Self::NAME, MAGIC, bytes)?;
        require_zero(Self::NAME, &body.reserved)?;
        let count = body.count.get();
        require_value(Self::NAME, "range count", count.into(), |count| {
            count <= RANGES_MAX as u64
        })?;
        let (used, unused) = body.ranges.split_at(count as usize);
        require_zero(Self::NAME, unused.as_bytes())?;
        let mut ranges = BTreeMap::new();
        // one before the first start that is allowed
        let mut before: Option<(u16, u64)> = None;
        for entry in used {
            let range = entry.parse()?;
            let (device, start, end) = bounds(range);
            require_value(Self::NAME, "range offset", start, |start| {
                before.is_none_or(|before| before < (device, start))
            })?;
            before = Some((device, end));
            ranges.insert((device, start), end);
        }
        Ok(Self {
            volume: VolumeId(body.volume),
            as_of: Lsn(body.as_of.get()),
            mismatches: body.mismatches.get(),
            skipped_bytes: body.skipped_bytes.get(),
            ranges,
        })
    }
}

const MAGIC: [u8; 8] = *b"\x89AIMdif\n";

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Body {
    volume: [u8; 16],
    as_of: U64,
    mismatches: U64,
    skipped_bytes: U64,
    count: U32,
    reserved: [u8; 4],
    ranges: [RawRange; RANGES_MAX],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRange {
    offset: U64,
    len: U64,
    device: U16,
    reserved: [u8; 6],
}

const _: () = assert!(size_of::<Body>() == 3120);

impl RawRange {
    fn parse(&self) -> Result<DeviceRange, StateError> {
        const NAME: &str = Differences::NAME;
        require_zero(NAME, &self.reserved)?;
        let device = self.device.get();
        require_value(NAME, "range device", device.into(), |device| {
            device < DEVICES_MAX as u64
        })?;
        let room = u64::MAX - self.offset.get();
        require_value(NAME, "range length", self.len.get(), |len| {
            len > 0 && len <= room
        })?;
        Ok(DeviceRange {
            device,
            offset: ByteOffset(self.offset.get()),
            len: ByteLen(self.len.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_file::tests::assert_exact;

    fn range(device: u16, start: u64, end: u64) -> DeviceRange {
        DeviceRange {
            device,
            offset: ByteOffset(start),
            len: ByteLen(end - start),
        }
    }

    fn of(ranges: &[DeviceRange]) -> Differences {
        let mut differences = Differences::new(VolumeId([7; 16]));
        ranges.iter().for_each(|range| differences.insert(*range));
        differences
    }

    /// What holds after any step: each block is in a range or not, and ranges never touch.
    #[test]
    fn it_is_the_set_of_what_differs() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut differences = of(&[]);
        let mut model = [[false; 64]; 2];
        for _ in 0..4000 {
            let (device, start) = (random(2), random(64));
            let end = start + 1 + random((64 - start).min(9));
            let is_equal = random(2) == 0;
            model[device as usize][start as usize..end as usize].fill(!is_equal);
            let changed = range(device as u16, start * 512, end * 512);
            match is_equal {
                true => differences.note_equal(changed),
                false => differences.note_mismatch(changed),
            }
            let mut found = [[false; 64]; 2];
            let mut last = None;
            for range in differences.ranges() {
                let (device, start, end) = bounds(range);
                assert!(last.is_none_or(|last| last < (device, start)), "{last:?}");
                last = Some((device, end));
                let blocks = (start / 512) as usize..(end / 512) as usize;
                found[usize::from(device)][blocks].fill(true);
            }
            assert_eq!(found, model);
            assert_eq!(
                Differences::decode(&differences.encode()).unwrap(),
                differences
            );
        }
    }

    #[test]
    fn too_many_ranges_become_fewer_and_name_no_less() {
        let mut differences = of(&[]);
        for index in 0..RANGES_MAX as u64 {
            differences.insert(range(
                (index % 2) as u16,
                index * 10_000,
                index * 10_000 + 512,
            ));
        }
        assert_eq!(differences.ranges().count(), RANGES_MAX);
        // the nearest of all is the one just before
        differences.insert(range(0, 1024, 1536));
        assert_eq!(differences.ranges().count(), RANGES_MAX);
        assert_eq!(differences.ranges().next(), Some(range(0, 0, 1536)));
        // cutting one in two makes one more too
        differences.subtract(range(0, 512, 1024));
        assert_eq!(differences.ranges().count(), RANGES_MAX);
        differences.subtract(range(1, 10_100, 10_200));
        assert!(
            differences
                .ranges()
                .any(|found| found == range(1, 10_000, 10_512))
        );
    }

    #[test]
    fn the_file_is_exact_and_no_other_is_taken() {
        assert_exact(&of(&[]));
        let mut differences = of(&[range(0, 0, 512), range(3, 4096, 1 << 40)]);
        differences.note_mismatch(range(3, 0, 512));
        differences.note_skipped(range(0, 0, 4096));
        differences.set_as_of(Lsn(99));
        assert_exact(&differences);
        assert_eq!(differences.bytes(), ByteLen(1024 + (1 << 40) - 4096));
        let refused = |change: &dyn Fn(&mut Body)| {
            let mut body = unframe(Differences::NAME, MAGIC, &differences.encode()).unwrap();
            change(&mut body);
            Differences::decode(&frame(MAGIC, &body)).unwrap_err()
        };
        for error in [
            refused(&|body| body.count = (RANGES_MAX as u32 + 1).into()),
            refused(&|body| body.count = 4.into()),
            refused(&|body| body.count = 2.into()),
            refused(&|body| body.ranges[1].offset = 4097.into()),
            refused(&|body| body.ranges.swap(0, 1)),
            refused(&|body| body.ranges[1].len = 4096.into()),
            refused(&|body| body.ranges[1].device = 16.into()),
            refused(&|body| body.ranges[2].len = u64::MAX.into()),
        ] {
            assert!(matches!(error, StateError::Value { .. }), "{error}");
        }
    }
}

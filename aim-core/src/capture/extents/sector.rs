//! One sector of the extent map: written whole or not at all, so its bits are always of one time.

use crate::xxh3::xxh3_64_with_seed;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes that a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;
const WORDS: usize = 31;
/// Extents that one sector describes.
pub(in crate::capture) const SECTOR_EXTENTS: usize = WORDS * 64;

/// The bits of the extents of one sector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::capture) struct Bits {
    pub(super) hot: [u64; WORDS],
    pub(super) need: [u64; WORDS],
}

/// The sector as stored.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSector {
    hot: [U64; WORDS],
    need: [U64; WORDS],
    reserved: U64,
    checksum: U64,
}

const _: () = assert!(size_of::<RawSector>() == SECTOR_BYTES);

impl Bits {
    /// What is assumed of extents whose bits are lost.
    pub(super) const ALL_NEEDED: Self = Self {
        hot: [0; WORDS],
        need: [u64::MAX; WORDS],
    };

    pub(super) fn encode(&self, seed: u64) -> [u8; SECTOR_BYTES] {
        let mut raw = RawSector {
            hot: self.hot.map(U64::new),
            need: self.need.map(U64::new),
            reserved: U64::new(0),
            checksum: U64::new(0),
        };
        raw.checksum = U64::new(checksum(&raw, seed));
        zerocopy::transmute!(raw)
    }

    /// `None` if the bytes are not what was written with this seed.
    pub(super) fn decode(bytes: &[u8; SECTOR_BYTES], seed: u64) -> Option<Self> {
        let raw: &RawSector = zerocopy::transmute_ref!(bytes);
        let intact = raw.checksum.get() == checksum(raw, seed) && raw.reserved.get() == 0;
        intact.then(|| Self {
            hot: raw.hot.map(U64::get),
            need: raw.need.map(U64::get),
        })
    }
}

fn checksum(raw: &RawSector, seed: u64) -> u64 {
    let bytes = raw.as_bytes();
    xxh3_64_with_seed(&bytes[..SECTOR_BYTES - size_of::<U64>()], seed)
}

/// Whether bit `index` is set.
pub(super) fn get(words: &[u64; WORDS], index: usize) -> bool {
    words[index / 64] >> (index % 64) & 1 == 1
}

/// The bits that are set, in order.
pub(super) fn ones(words: &[u64; WORDS]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, &word)| {
        let left = |word: u64| (word != 0).then_some(word);
        std::iter::successors(left(word), move |word| left(word & (word - 1)))
            .map(move |word| at * 64 + word.trailing_zeros() as usize)
    })
}

/// Sets or clears bit `index`; says whether that changed it.
pub(super) fn set(words: &mut [u64; WORDS], index: usize, value: bool) -> bool {
    let (word, bit) = (&mut words[index / 64], 1 << (index % 64));
    let before = *word;
    match value {
        true => *word |= bit,
        false => *word &= !bit,
    }
    *word != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_and_altered_ones_do_not() {
        let mut bits = Bits::default();
        assert!(set(&mut bits.hot, 70, true));
        assert!(!set(&mut bits.hot, 70, true));
        assert!(set(&mut bits.need, SECTOR_EXTENTS - 1, true));
        let bytes = bits.encode(5);
        assert_eq!(Bits::decode(&bytes, 5), Some(bits));
        assert_eq!(Bits::decode(&bytes, 6), None, "of another place");
        for at in 0..SECTOR_BYTES {
            let mut altered = bytes;
            altered[at] ^= 1;
            assert_eq!(Bits::decode(&altered, 5), None, "byte {at}");
        }
        assert_eq!(Bits::decode(&[0; SECTOR_BYTES], 5), None, "never written");
    }
}

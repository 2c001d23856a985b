//! XXH3-64, the hash of all check values but digests, as fast as the processor at hand allows.
//!
//! Its definition: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.

use std::hash::Hasher as _;

use twox_hash::XxHash3_64;

/// Of all bytes, with seed 0.
pub(crate) fn xxh3_64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Of all bytes, with a seed.
pub(crate) fn xxh3_64_with_seed(bytes: &[u8], seed: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

/// Of bytes that come piece by piece, with seed 0.
#[derive(Clone, Default)]
pub(crate) struct Xxh3(XxHash3_64);

impl Xxh3 {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// Of all pieces so far.
    pub(crate) fn digest(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests of the format use another implementation, which these have to agree with.
    #[test]
    fn another_implementation_agrees() {
        let bytes: Vec<u8> = (0..5000u32).map(|at| (at * at % 251) as u8).collect();
        for len in (0..300).chain([511, 1024, 1025, 4096, 5000]) {
            let bytes = &bytes[..len];
            assert_eq!(xxh3_64(bytes), xxhash_rust::xxh3::xxh3_64(bytes));
            let theirs = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, 77);
            assert_eq!(xxh3_64_with_seed(bytes, 77), theirs);
            let mut pieces = Xxh3::default();
            bytes.chunks(97).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.digest(), xxh3_64(bytes));
        }
    }
}

//! Blocks of zeroes: a disk that was never full has many, and none of them need be hashed.

use std::sync::OnceLock;

use super::BlockDigest;
use super::answer::hashed;

/// One for each power of two that a length can be.
static DIGESTS: [OnceLock<BlockDigest>; 64] = [const { OnceLock::new() }; 64];

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        // each is what the one before it is: a comparison of memory, at its speed
        [first, rest @ ..] => *first == 0 && *rest == bytes[..rest.len()],
    }
}

/// The digest of a block of zeroes, computed once for each length, if that is a power of two.
pub(super) fn digest_of_zeroes(len: usize) -> Option<BlockDigest> {
    let slot = DIGESTS.get(len.checked_ilog2()? as usize)?;
    len.is_power_of_two()
        .then(|| *slot.get_or_init(|| hashed(&vec![0; len])))
}

#[cfg(test)]
mod tests {
    use super::super::block_digest;
    use super::*;

    #[test]
    fn one_byte_anywhere_makes_a_difference() {
        for len in [0, 1, 2, 7, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len}");
            for place in 0..len {
                bytes[place] = 1;
                assert!(!is_zero(&bytes), "{place} of {len}");
                bytes[place] = 0;
            }
            bytes.fill(7);
            assert_eq!(is_zero(&bytes), len == 0);
        }
    }

    #[test]
    fn the_digest_of_zeroes_is_the_digest_of_their_bytes() {
        for len in [0, 1, 512, 4095, 4096, 65536] {
            let zeroes = vec![0; len];
            assert_eq!(block_digest(&zeroes), hashed(&zeroes), "{len}");
        }
        assert_ne!(block_digest(&[0; 4096]), block_digest(&[0; 8192]));
    }
}

//! The three kinds of check values: header and IOCB checksums, payload checksums, file digest.

use crate::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::units::{Epoch, FileNumber, VolumeId};

/// BLAKE3 digest that binds everything in a sealed file and, through the next file's header,
/// the series. All zero where there is no file before.
pub type Digest = [u8; 32];

/// xxh3-64 (seed 0) of a payload that lies in memory as a whole.
pub fn payload_checksum(payload: &[u8]) -> u64 {
    xxh3_64(payload)
}

/// The checksum of a payload that is read piece by piece.
#[derive(Clone, Default)]
pub struct PayloadHasher(Xxh3);

impl PayloadHasher {
    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The same value that [`payload_checksum`] gives for all pieces together.
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// What the IOCB checksums of one file are seeded with, so that an IOCB that another file left
/// in the same blocks is not taken for one of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSeed(u64);

impl FileSeed {
    /// The seed of a file: it follows from the names in its header.
    pub fn new(volume: VolumeId, epoch: Epoch, number: FileNumber) -> Self {
        let mut bytes = [0; 28];
        bytes[..16].copy_from_slice(&volume.0);
        bytes[16..20].copy_from_slice(&epoch.get().to_le_bytes());
        bytes[20..].copy_from_slice(&number.get().to_le_bytes());
        Self(xxh3_64(&bytes))
    }

    /// The low half of xxh3-64 of an IOCB whose checksum field is zero.
    pub(super) fn iocb_checksum(self, bytes: &[u8]) -> u32 {
        xxh3_64_with_seed(bytes, self.0) as u32
    }
}

/// xxh3-64 (seed 0) of a header whose checksum field is zero.
pub(super) fn header_checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_the_whole() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| (i % 253) as u8).collect();
        let mut hasher = PayloadHasher::default();
        bytes.chunks(777).for_each(|piece| hasher.update(piece));
        assert_eq!(hasher.finish(), payload_checksum(&bytes));
    }

    #[test]
    fn each_file_has_a_seed_of_its_own() {
        let seed =
            |epoch, number| FileSeed::new(VolumeId([3; 16]), Epoch(epoch), FileNumber(number));
        assert_ne!(seed(1, 1), seed(1, 2));
        assert_ne!(seed(1, 1), seed(2, 1));
    }
}

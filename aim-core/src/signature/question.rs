//! What the source wants to know.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file::{Subject, decode, encode};
use super::{FILE_BYTES_MAX, SignatureError};
use crate::units::{ByteLen, ByteOffset, Lsn, VolumeId};

const MAGIC: [u8; 8] = *b"\x89AIMsqu\n";

/// A range of a device. Its blocks are counted from its start; the last one may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    /// Index of the device in the volume.
    pub device: u16,
    /// First byte.
    pub offset: ByteOffset,
    /// Bytes from there, at least 1.
    pub len: ByteLen,
}

/// Asks for the digests of all blocks of these ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The volume.
    pub volume: VolumeId,
    /// The begin of the group for which it is asked.
    pub group: Lsn,
    /// Tells this question from the ones before.
    pub number: u64,
    /// Bytes of a block, a power of two from 512 to 2^20.
    pub block_bytes: u32,
    /// What is asked about, in this order.
    pub ranges: Vec<BlockRange>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRange {
    offset: U64,
    len: U64,
    device: U16,
    reserved: [u8; 6],
}

impl BlockRange {
    /// Blocks of it.
    pub fn blocks(&self, block_bytes: u32) -> u64 {
        self.len.get().div_ceil(block_bytes.into())
    }

    /// Its blocks, one after the other.
    pub fn split(self, block_bytes: u32) -> impl Iterator<Item = Self> {
        let step = u64::from(block_bytes);
        (0..self.blocks(block_bytes)).map(move |index| Self {
            offset: ByteOffset(self.offset.get() + index * step),
            len: ByteLen(step.min(self.len.get() - index * step)),
            ..self
        })
    }
}

impl Question {
    /// Name of its file in the mirror's directory.
    pub const NAME: &'static str = "signature.question";

    /// Most digests that one answer holds.
    pub const DIGESTS_MAX: u64 = (FILE_BYTES_MAX as u64 - 72) / 16;
    /// Most ranges that one question has.
    pub const RANGES_MAX: usize = (FILE_BYTES_MAX - 72) / size_of::<RawRange>();

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let subject = Subject {
            volume: self.volume,
            group: self.group,
            number: self.number,
            block_bytes: self.block_bytes,
        };
        let raw = self.ranges.iter().map(|range| RawRange {
            offset: range.offset.get().into(),
            len: range.len.get().into(),
            device: range.device.into(),
            reserved: [0; 6],
        });
        encode(MAGIC, &subject, &raw.collect::<Vec<_>>())
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] where they are damaged, or ask for more digests than an answer holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignatureError> {
        let (subject, raw) = decode::<RawRange>(MAGIC, bytes)?;
        let mut ranges = Vec::with_capacity(raw.len());
        let mut digests = 0u64;
        for range in raw {
            let range = BlockRange {
                device: range.device.get(),
                offset: ByteOffset(range.offset.get()),
                len: ByteLen(range.len.get()),
            };
            if range.len.get() == 0 || range.offset.end(range.len).is_none() {
                let (field, value) = ("length", range.len.get());
                return Err(SignatureError::Value { field, value });
            }
            digests = digests.saturating_add(range.blocks(subject.block_bytes));
            ranges.push(range);
        }
        if digests > Self::DIGESTS_MAX {
            let (field, value) = ("number of blocks", digests);
            return Err(SignatureError::Value { field, value });
        }
        Ok(Self {
            volume: subject.volume,
            group: subject.group,
            number: subject.number,
            block_bytes: subject.block_bytes,
            ranges,
        })
    }

    /// Its blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = BlockRange> {
        let ranges = self.ranges.iter();
        ranges.flat_map(|range| range.split(self.block_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            volume: VolumeId::generate(),
            group: Lsn(7),
            number: 3,
            block_bytes: 4096,
            ranges: vec![
                BlockRange {
                    device: 0,
                    offset: ByteOffset(8192),
                    len: ByteLen(10_000),
                },
                BlockRange {
                    device: 2,
                    offset: ByteOffset(0),
                    len: ByteLen(4096),
                },
            ],
        }
    }

    #[test]
    fn a_question_comes_back_and_no_altered_one_does() {
        let question = question();
        let bytes = question.encode();
        assert_eq!(Question::decode(&bytes).as_ref(), Ok(&question));
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 4;
            assert!(Question::decode(&altered).is_err(), "byte {at}");
            assert!(Question::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn blocks_are_counted_from_the_start_of_a_range() {
        let lens: Vec<u64> = question().blocks().map(|block| block.len.get()).collect();
        assert_eq!(lens, [4096, 4096, 1808, 4096]);
        let mut greedy = question();
        greedy.ranges[0].len = ByteLen(4096 * (Question::DIGESTS_MAX + 1));
        assert!(matches!(
            Question::decode(&greedy.encode()),
            Err(SignatureError::Value { .. })
        ));
    }
}

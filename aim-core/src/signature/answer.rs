//! What the mirror holds.

use std::io;
use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::file::{Subject, decode, encode};
use super::zero::{digest_of_zeroes, is_zero};
use super::{Question, SignatureError};
use crate::device::{BlockDevice, check_range};
use crate::units::{Lsn, VolumeId};

const MAGIC: [u8; 8] = *b"\x89AIMsan\n";

/// Digest of a block: the first half of its BLAKE3.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct BlockDigest(pub [u8; 16]);

/// The digest of a block's bytes.
pub fn block_digest(bytes: &[u8]) -> BlockDigest {
    if is_zero(bytes)
        && let Some(digest) = digest_of_zeroes(bytes.len())
    {
        return digest;
    }
    hashed(bytes)
}

pub(super) fn hashed(bytes: &[u8]) -> BlockDigest {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    BlockDigest(first)
}

/// The digests that a question asked for, in the order of its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As in the question.
    pub volume: VolumeId,
    /// As in the question.
    pub group: Lsn,
    /// As in the question.
    pub number: u64,
    /// As in the question.
    pub block_bytes: u32,
    /// One for each block.
    pub digests: Vec<BlockDigest>,
}

impl Answer {
    /// Name of its file in the mirror's directory.
    pub const NAME: &'static str = "signature.answer";

    /// Reads the blocks that are asked for.
    ///
    /// # Errors
    ///
    /// Those of reading; `InvalidInput` for a range that is not on its device.
    pub fn to(question: &Question, devices: &[Arc<dyn BlockDevice>]) -> io::Result<Self> {
        let mut buffer = Vec::new();
        let mut digests = Vec::new();
        for block in question.blocks() {
            let Some(device) = devices.get(usize::from(block.device)) else {
                let what = format!("device {} of a volume of {}", block.device, devices.len());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            };
            check_range(device, block.offset, block.len)?;
            buffer.resize(block.len.get() as usize, 0);
            device.read(block.offset, &mut buffer)?;
            digests.push(block_digest(&buffer));
        }
        Ok(Self {
            volume: question.volume,
            group: question.group,
            number: question.number,
            block_bytes: question.block_bytes,
            digests,
        })
    }

    /// Whether it answers this question.
    pub fn is_to(&self, question: &Question) -> bool {
        let same = (self.volume, self.group, self.number, self.block_bytes)
            == (
                question.volume,
                question.group,
                question.number,
                question.block_bytes,
            );
        same && self.digests.len() == question.blocks().count()
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let subject = Subject {
            volume: self.volume,
            group: self.group,
            number: self.number,
            block_bytes: self.block_bytes,
        };
        encode(MAGIC, &subject, &self.digests)
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] for whatever is not exactly what [`encode`](Self::encode) gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignatureError> {
        let (subject, digests) = decode(MAGIC, bytes)?;
        Ok(Self {
            volume: subject.volume,
            group: subject.group,
            number: subject.number,
            block_bytes: subject.block_bytes,
            digests,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemDevice;
    use crate::signature::BlockRange;
    use crate::units::{ByteLen, ByteOffset};

    #[test]
    fn an_answer_tells_what_the_device_holds() {
        let device = MemDevice::new(ByteLen(64 << 10), 512);
        device.write(ByteOffset(4096), &[9; 4096]).unwrap();
        let devices: Vec<Arc<dyn BlockDevice>> = vec![Arc::new(device)];
        let mut question = Question {
            volume: VolumeId::generate(),
            group: Lsn(5),
            number: 1,
            block_bytes: 4096,
            ranges: vec![BlockRange {
                device: 0,
                offset: ByteOffset(0),
                len: ByteLen(4096 + 8192),
            }],
        };
        let answer = Answer::to(&question, &devices).unwrap();
        let blank = block_digest(&[0; 4096]);
        assert_eq!(answer.digests, [blank, block_digest(&[9; 4096]), blank]);
        assert!(answer.is_to(&question));
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer.clone()));
        assert!(Question::decode(&answer.encode()).is_err());
        question.number = 2;
        assert!(!answer.is_to(&question));
        question.ranges[0].len = ByteLen(1 << 20);
        assert!(Answer::to(&question, &devices).is_err());
    }
}

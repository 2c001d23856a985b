//! The frame that both kinds of file have.

use crate::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::FILE_BYTES_MAX;
use crate::units::{Lsn, VolumeId};

const VERSION: u32 = 1;

/// Why bytes are not such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is cut, altered, of another kind or of another version.
    #[error("not a file of this kind, or damaged ({bytes} bytes)")]
    Damaged {
        /// Its length.
        bytes: usize,
    },
    /// It holds a value that no writer writes.
    #[error("{field} has the impossible value {value}")]
    Value {
        /// Which value.
        field: &'static str,
        /// What it is.
        value: u64,
    },
}

/// Which question, about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) volume: VolumeId,
    pub(super) group: Lsn,
    pub(super) number: u64,
    pub(super) block_bytes: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    version: U32,
    block_bytes: U32,
    volume: [u8; 16],
    group: U64,
    number: U64,
    count: U64,
    reserved: U64,
}

const HEAD_BYTES: usize = size_of::<Head>();
const CHECKSUM_BYTES: usize = size_of::<U64>();
const _: () = assert!(HEAD_BYTES == 64);

/// The bytes of a file with these entries.
pub(super) fn encode<T: IntoBytes + Immutable>(
    magic: [u8; 8],
    subject: &Subject,
    entries: &[T],
) -> Vec<u8> {
    let head = Head {
        magic,
        version: VERSION.into(),
        block_bytes: subject.block_bytes.into(),
        volume: subject.volume.0,
        group: subject.group.get().into(),
        number: subject.number.into(),
        count: (entries.len() as u64).into(),
        reserved: 0.into(),
    };
    let mut bytes = head.as_bytes().to_vec();
    for entry in entries {
        bytes.extend_from_slice(entry.as_bytes());
    }
    let checksum = U64::new(xxh3_64(&bytes));
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// Takes a file apart: length and checksum first.
pub(super) fn decode<T>(magic: [u8; 8], bytes: &[u8]) -> Result<(Subject, Vec<T>), SignatureError>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned + Copy,
{
    let damaged = SignatureError::Damaged { bytes: bytes.len() };
    if bytes.len() > FILE_BYTES_MAX || bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
        return Err(damaged);
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    let Ok(checksum) = U64::read_from_bytes(checksum) else {
        return Err(damaged);
    };
    let Ok((head, entries)) = Head::read_from_prefix(content) else {
        return Err(damaged);
    };
    let intact = checksum.get() == xxh3_64(content)
        && head.magic == magic
        && head.version.get() == VERSION
        && head.reserved.get() == 0;
    if !intact {
        return Err(damaged);
    }
    let Ok(entries) = <[T]>::ref_from_bytes(entries) else {
        return Err(damaged);
    };
    if entries.len() as u64 != head.count.get() {
        let (field, value) = ("count", head.count.get());
        return Err(SignatureError::Value { field, value });
    }
    let block_bytes = head.block_bytes.get();
    if !block_bytes.is_power_of_two() || !(512..=1 << 20).contains(&block_bytes) {
        let (field, value) = ("block size", block_bytes.into());
        return Err(SignatureError::Value { field, value });
    }
    let subject = Subject {
        volume: VolumeId(head.volume),
        group: Lsn(head.group.get()),
        number: head.number.get(),
        block_bytes,
    };
    Ok((subject, entries.to_vec()))
}

//! What can be wrong with a journal file.

use std::io;

use crate::format::{HeaderError, IocbError, Payload};
use crate::units::Lsn;

/// Why a journal file can't be read or believed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error("reading at byte {at} failed: {source}")]
    Io {
        /// First byte of the read.
        at: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// There is no room for a header.
    #[error("{len} bytes are no journal file: the header alone has 4096")]
    TooShort {
        /// Length of the file.
        len: u64,
    },
    /// The header is wrong.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A sealed file was cut or extended.
    #[error("the file has {found} bytes, its header says {expected}")]
    Length {
        /// Length of the file.
        found: u64,
        /// Length by its header.
        expected: u64,
    },
    /// The file is open; only a sealed one can be verified.
    #[error("the file is not sealed")]
    NotSealed,
    /// Header and IOCBs are not those that were sealed.
    #[error("the digest in the header is not that of header and IOCBs")]
    Digest,
    /// An IOCB is wrong.
    #[error("IOCB number {index}: {source}")]
    Iocb {
        /// Its index in the IOCB portion, from 0.
        index: usize,
        /// What is wrong.
        source: IocbError,
    },
    /// The payloads do not fill the data portion.
    #[error("the payloads have {found} bytes, the data portion {expected}")]
    DataLength {
        /// Bytes of all payloads.
        found: u64,
        /// Bytes of the data portion by the header.
        expected: u64,
    },
    /// The header was made for other records, as far as groups go.
    #[error("by its IOCBs the file's {field} is {found}, its header says {expected}")]
    Groups {
        /// The header's field: `open_group_at_end` or `incompatible`.
        field: &'static str,
        /// What the IOCBs give.
        found: u64,
        /// What the header says.
        expected: u64,
    },
    /// There is something where nothing belongs.
    #[error("the unused byte at {at} is not zero")]
    Padding {
        /// Its place in the file.
        at: u64,
    },
    /// A payload is damaged.
    #[error(
        "the payload of LSN {lsn} at byte {place} has checksum {found:016x}, not {expected:016x}"
    )]
    Payload {
        /// The record.
        lsn: Lsn,
        /// First byte in the file.
        place: u64,
        /// Checksum of the bytes.
        found: u64,
        /// Checksum by the IOCB.
        expected: u64,
    },
    /// It was replaced since it was looked at.
    #[error("it is not the file any more that was looked at before")]
    Replaced,
    /// The caller's mistake: a payload is read into a buffer of exactly its size.
    #[error("a buffer of {found} bytes for a payload of {expected}")]
    Buffer {
        /// Bytes of the buffer.
        found: usize,
        /// Bytes of the payload.
        expected: u32,
    },
}

impl ReadError {
    /// Whether the bytes are wrong, as against a file system that can't give them.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Buffer { .. })
    }

    pub(super) fn at(at: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { at, source }
    }

    pub(super) fn check_payload(lsn: Lsn, payload: &Payload, found: u64) -> Result<(), Self> {
        match found == payload.checksum {
            true => Ok(()),
            false => Err(Self::Payload {
                lsn,
                place: payload.place,
                found,
                expected: payload.checksum,
            }),
        }
    }
}

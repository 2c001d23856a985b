//! The header of a journal file: `docs/format.md`, section 3.

use zerocopy::IntoBytes;

use super::checksum::{Digest, FileSeed};
use super::field::FieldError;
use super::limits::{HEADER_BYTES, IOCB_BYTES, IOCBS_PER_PAGE, MAX_IOCBS};
use super::raw_header::{MAGIC, RawHeader, VERSION};
use crate::identity::VolumeIdentity;
use crate::units::{ByteLen, FileNumber, Lsn, Timestamp};

/// The `incompatible` bit of files that lie in a group where they start, or in which there are
/// group or verify records.
pub const GROUPS: u64 = 1;

/// The `incompatible` bit of files in which a baseline begins or ends.
pub const BASELINES: u64 = 2;

/// What the header of a journal file says, with every field checked against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bits of features that a reader may ignore.
    pub compatible: u64,
    /// Bits of features that a reader must know: [`GROUPS`] and [`BASELINES`].
    pub incompatible: u64,
    /// The volume, with all its devices and the epoch in which the file was written.
    pub volume: VolumeIdentity,
    /// Place in the series, from 1.
    pub number: FileNumber,
    /// LSN of the file's first transaction, from 1.
    pub first_lsn: Lsn,
    /// Digest of the file before; zero for the first of a series.
    pub previous: Digest,
    /// LSN of the group begin of the group that is open where the file starts; 0: none.
    pub open_group: Lsn,
    /// Where the portions are.
    pub layout: Layout,
    /// When the file was created.
    pub created: Timestamp,
    /// Present when the file is sealed.
    pub seal: Option<Seal>,
}

/// What sealing adds to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// LSN of the file's last transaction, inclusive.
    pub last_lsn: Lsn,
    /// Digest of the file; see [`Header::digest`].
    pub digest: Digest,
    /// How many IOCBs are used, at least one.
    pub iocb_count: u32,
    /// Bytes of the data portion.
    pub data_len: ByteLen,
    /// Bytes of the file: the data portion ends it.
    pub total_size: ByteLen,
    /// When the file was sealed; not before it was created.
    pub sealed: Timestamp,
    /// LSN of the group begin of the group that is open where the file ends; 0: none.
    pub open_group: Lsn,
    /// LSN of the baseline begin with which the file begins; 0: with none.
    pub baseline_begun: Lsn,
    /// Where the last baseline began that ends in the file; 0: none does.
    pub baseline_ended: Lsn,
}

/// Where the portions of a file are. All offsets count from the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First byte of the IOCB portion.
    pub iocb_offset: u64,
    /// How many IOCBs the IOCB portion has room for.
    pub iocb_capacity: u32,
    /// First byte of the data portion.
    pub data_offset: u64,
}

/// Why bytes are not a header that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something else than a journal file.
    #[error("not a journal file: it starts with {found:02x?}")]
    Magic {
        /// The first 8 bytes.
        found: [u8; 8],
    },
    /// Written by a program that this one knows nothing of.
    #[error("format version {found} is not supported, only version {VERSION} is")]
    Version {
        /// The version there.
        found: u32,
    },
    /// Damaged.
    #[error("the header's checksum is {found:016x}, its bytes give {computed:016x}")]
    Checksum {
        /// The checksum stored.
        found: u64,
        /// The checksum of the bytes.
        computed: u64,
    },
    /// Uses features that must be understood to read the file.
    #[error("the file needs unknown features (incompatible flags {unknown:#x})")]
    Incompatible {
        /// The bits that are not known.
        unknown: u64,
    },
    /// A field does not fit the format or the other fields.
    #[error("header: {0}")]
    Field(#[from] FieldError),
}

impl Layout {
    /// The layout that the writer uses: room for at least `iocbs` IOCBs, in whole pages, at
    /// most [`MAX_IOCBS`], right behind the header; data right behind that.
    pub const fn with_capacity(iocbs: u32) -> Self {
        let wanted = if iocbs > MAX_IOCBS { MAX_IOCBS } else { iocbs };
        let wanted = if wanted == 0 { 1 } else { wanted };
        let iocb_capacity = wanted.next_multiple_of(IOCBS_PER_PAGE);
        Self {
            iocb_offset: HEADER_BYTES as u64,
            iocb_capacity,
            data_offset: HEADER_BYTES as u64 + iocb_capacity as u64 * IOCB_BYTES as u64,
        }
    }

    /// Bytes that the IOCBs can take.
    pub const fn iocb_bytes(&self) -> u64 {
        self.iocb_capacity as u64 * IOCB_BYTES as u64
    }
}

impl Header {
    /// Takes the bytes apart: magic and version, then the checksum, then everything else.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] for whatever is not as `docs/format.md` says. Whether the file is as long
    /// as a sealed header says is for the caller to check.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let raw: &RawHeader = zerocopy::transmute_ref!(bytes);
        if raw.magic != MAGIC {
            return Err(HeaderError::Magic { found: raw.magic });
        }
        if raw.version.get() != VERSION {
            return Err(HeaderError::Version {
                found: raw.version.get(),
            });
        }
        let computed = raw.computed_checksum();
        if raw.checksum.get() != computed {
            return Err(HeaderError::Checksum {
                found: raw.checksum.get(),
                computed,
            });
        }
        let unknown = raw.incompatible.get() & !(GROUPS | BASELINES);
        if unknown != 0 {
            return Err(HeaderError::Incompatible { unknown });
        }
        Ok(raw.parse()?)
    }

    /// Whether it is of a sealed file that begins with a baseline.
    pub fn begins_baseline(&self) -> bool {
        self.seal.is_some_and(|seal| seal.baseline_begun != Lsn(0))
    }

    /// The bytes of the header, checksum included.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let raw = RawHeader::new(self);
        zerocopy::transmute!(raw)
    }

    /// Seed of the file's IOCB checksums.
    pub fn file_seed(&self) -> FileSeed {
        FileSeed::new(self.volume.id, self.volume.epoch, self.number)
    }

    /// Computes the digest of a sealed file from the bytes of its header, of which digest and
    /// checksum do not count, and the bytes of its used IOCBs.
    pub fn digest(header: &[u8; HEADER_BYTES], iocbs: &[u8]) -> Digest {
        let mut raw: RawHeader = zerocopy::transmute!(*header);
        raw.digest = [0; 32];
        raw.checksum = 0.into();
        let mut hasher = blake3::Hasher::new();
        hasher.update(raw.as_bytes());
        hasher.update(iocbs);
        *hasher.finalize().as_bytes()
    }
}

//! The header of a journal file: `docs/format.md`, section 3.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Digest, FileSeed, header_checksum};
use super::field::{FieldError, exactly, multiple_of, sum, within, zero};
use super::limits::{
    HEADER_BYTES, IOCB_BYTES, IOCBS_PER_PAGE, MAX_DEVICES, MAX_FILE_BYTES, MAX_IOCBS, PAGE_BYTES,
    SECTOR_BYTES,
};
use crate::identity::{DeviceIdentity, VolumeIdentity};
use crate::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, Timestamp, VolumeId};

/// What the header of a journal file says, with every field checked against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bits of features that a reader may ignore.
    pub compatible: u64,
    /// The volume, with all its devices and the epoch in which the file was written.
    pub volume: VolumeIdentity,
    /// Place in the series, from 1.
    pub number: FileNumber,
    /// LSN of the file's first transaction, from 1.
    pub first_lsn: Lsn,
    /// Digest of the file before; zero for the first of a series.
    pub previous: Digest,
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
        let unknown = raw.incompatible.get();
        if unknown != 0 {
            return Err(HeaderError::Incompatible { unknown });
        }
        Ok(raw.parse()?)
    }

    /// The bytes of the header, checksum included.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut raw = RawHeader::new_zeroed();
        raw.magic = MAGIC;
        raw.version = VERSION.into();
        raw.header_len = (HEADER_BYTES as u32).into();
        raw.compatible = self.compatible.into();
        raw.epoch = self.volume.epoch.get().into();
        raw.file_number = self.number.get().into();
        raw.first_lsn = self.first_lsn.get().into();
        raw.volume = self.volume.id.0;
        raw.previous_digest = self.previous;
        raw.iocb_offset = self.layout.iocb_offset.into();
        raw.iocb_capacity = u64::from(self.layout.iocb_capacity).into();
        raw.data_offset = self.layout.data_offset.into();
        raw.created_ns = self.created.get().into();
        raw.device_count = (self.volume.devices.len() as u32).into();
        for (entry, device) in raw.devices.iter_mut().zip(&self.volume.devices) {
            entry.id = device.id.0;
            entry.size = device.size.get().into();
            entry.block_size = device.block_size.into();
        }
        raw.state = STATE_OPEN.into();
        if let Some(seal) = &self.seal {
            raw.state = STATE_SEALED.into();
            raw.last_lsn = seal.last_lsn.get().into();
            raw.digest = seal.digest;
            raw.iocb_count = u64::from(seal.iocb_count).into();
            raw.data_len = seal.data_len.get().into();
            raw.total_size = seal.total_size.get().into();
            raw.sealed_ns = seal.sealed.get().into();
        }
        raw.checksum = raw.computed_checksum().into();
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

/// First bytes of every journal file. Like PNG's they reveal a transfer in text mode or one that
/// lost the high bits.
const MAGIC: [u8; 8] = *b"\x89AIM\r\n\x1a\n";
const VERSION: u32 = 1;
/// One LSN is left to be the next one; a file number is never larger than an LSN.
const LSN_MAX: u64 = u64::MAX - 1;
const STATE_OPEN: u32 = 1;
const STATE_SEALED: u32 = 2;

/// The header as stored.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U32,
    header_len: U32,
    compatible: U64,
    incompatible: U64,
    state: U32,
    epoch: U32,
    file_number: U64,
    first_lsn: U64,
    last_lsn: U64,
    volume: [u8; 16],
    previous_digest: Digest,
    digest: Digest,
    total_size: U64,
    iocb_offset: U64,
    iocb_capacity: U64,
    iocb_count: U64,
    data_offset: U64,
    data_len: U64,
    created_ns: U64,
    sealed_ns: U64,
    device_count: U32,
    reserved: [u8; 292],
    checksum: U64,
    devices: [RawDevice; MAX_DEVICES],
    reserved_tail: [u8; 3072],
}

/// An entry of the device table as stored.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDevice {
    id: [u8; 16],
    size: U64,
    block_size: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES);
const _: () = assert!(size_of::<RawDevice>() == 32);
// What sealing changes lies in the first sector, so that a torn write can't mix two headers.
const _: () =
    assert!(std::mem::offset_of!(RawHeader, checksum) + size_of::<U64>() == SECTOR_BYTES as usize);
const _: () = assert!(std::mem::offset_of!(RawHeader, devices) == SECTOR_BYTES as usize);

impl RawHeader {
    fn computed_checksum(&self) -> u64 {
        let mut copy = self.clone();
        copy.checksum = 0.into();
        header_checksum(copy.as_bytes())
    }

    fn parse(&self) -> Result<Header, FieldError> {
        exactly(
            "header_len",
            self.header_len.get().into(),
            HEADER_BYTES as u64,
        )?;
        // a compatible feature that is not known here may have put something there
        if self.compatible.get() == 0 {
            zero("reserved", &self.reserved)?;
            zero("reserved_tail", &self.reserved_tail)?;
        }
        self.check_place_in_series()?;
        let layout = self.parse_layout()?;
        let seal = match self.state.get() {
            STATE_OPEN => {
                self.check_open()?;
                None
            }
            STATE_SEALED => Some(self.parse_seal(&layout)?),
            other => {
                return Err(FieldError::Choice {
                    field: "state",
                    found: other.into(),
                    expected: "1 (open) or 2 (sealed)",
                });
            }
        };
        Ok(Header {
            compatible: self.compatible.get(),
            volume: VolumeIdentity {
                id: VolumeId(self.volume),
                epoch: Epoch(self.epoch.get()),
                devices: self.parse_devices()?,
            },
            number: FileNumber(self.file_number.get()),
            first_lsn: Lsn(self.first_lsn.get()),
            previous: self.previous_digest,
            layout,
            created: Timestamp(self.created_ns.get()),
            seal,
        })
    }

    /// The first file starts at LSN 1 and has none before it; each file brings at least one LSN.
    fn check_place_in_series(&self) -> Result<(), FieldError> {
        within("epoch", self.epoch.get().into(), 1, u32::MAX.into())?;
        let number = self.file_number.get();
        within("file_number", number, 1, u64::MAX)?;
        if number == 1 {
            exactly("first_lsn", self.first_lsn.get(), 1)?;
            return zero("previous_digest", &self.previous_digest);
        }
        within("first_lsn", self.first_lsn.get(), number, LSN_MAX)?;
        match zero("previous_digest", &self.previous_digest) {
            Err(_) => Ok(()),
            Ok(()) => Err(FieldError::Choice {
                field: "previous_digest",
                found: 0,
                expected: "the digest of the file before",
            }),
        }
    }

    fn parse_layout(&self) -> Result<Layout, FieldError> {
        let page = PAGE_BYTES as u64;
        let offset = self.iocb_offset.get();
        within("iocb_offset", offset, HEADER_BYTES as u64, MAX_FILE_BYTES)?;
        multiple_of("iocb_offset", offset, page)?;
        let capacity = self.iocb_capacity.get();
        within("iocb_capacity", capacity, 1, MAX_IOCBS.into())?;
        let iocb_end = offset + capacity * IOCB_BYTES as u64;
        let data_offset = self.data_offset.get();
        within("data_offset", data_offset, iocb_end, MAX_FILE_BYTES)?;
        multiple_of("data_offset", data_offset, page)?;
        Ok(Layout {
            iocb_offset: offset,
            iocb_capacity: capacity as u32,
            data_offset,
        })
    }

    /// An open file knows nothing yet of its end.
    fn check_open(&self) -> Result<(), FieldError> {
        exactly("last_lsn", self.last_lsn.get(), 0)?;
        zero("digest", &self.digest)?;
        exactly("total_size", self.total_size.get(), 0)?;
        exactly("iocb_count", self.iocb_count.get(), 0)?;
        exactly("data_len", self.data_len.get(), 0)?;
        exactly("sealed_ns", self.sealed_ns.get(), 0)
    }

    fn parse_seal(&self, layout: &Layout) -> Result<Seal, FieldError> {
        let count = self.iocb_count.get();
        within("iocb_count", count, 1, layout.iocb_capacity.into())?;
        let last_lsn = sum("last_lsn", self.first_lsn.get(), count - 1)?;
        within("last_lsn", last_lsn, 1, LSN_MAX)?;
        exactly("last_lsn", self.last_lsn.get(), last_lsn)?;
        let data_len = self.data_len.get();
        within("data_len", data_len, 0, MAX_FILE_BYTES - layout.data_offset)?;
        multiple_of("data_len", data_len, SECTOR_BYTES.into())?;
        let total_size = self.total_size.get();
        exactly("total_size", total_size, layout.data_offset + data_len)?;
        let sealed = self.sealed_ns.get();
        within("sealed_ns", sealed, self.created_ns.get(), u64::MAX)?;
        Ok(Seal {
            last_lsn: Lsn(last_lsn),
            digest: self.digest,
            iocb_count: count as u32,
            data_len: ByteLen(data_len),
            total_size: ByteLen(total_size),
            sealed: Timestamp(sealed),
        })
    }

    fn parse_devices(&self) -> Result<Vec<DeviceIdentity>, FieldError> {
        let count = self.device_count.get();
        within("device_count", count.into(), 1, MAX_DEVICES as u64)?;
        let (used, unused) = self.devices.split_at(count as usize);
        zero("unused device entries", unused.as_bytes())?;
        used.iter().map(RawDevice::parse).collect()
    }
}

impl RawDevice {
    fn parse(&self) -> Result<DeviceIdentity, FieldError> {
        zero("device.reserved", self.reserved.as_bytes())?;
        let block_size = self.block_size.get();
        if !matches!(block_size, 512 | 1024 | 2048 | 4096) {
            return Err(FieldError::Choice {
                field: "device.block_size",
                found: block_size.into(),
                expected: "a power of two from 512 to 4096",
            });
        }
        let size = self.size.get();
        within("device.size", size, block_size.into(), u64::MAX)?;
        multiple_of("device.size", size, block_size.into())?;
        Ok(DeviceIdentity {
            id: DeviceId(self.id),
            size: ByteLen(size),
            block_size,
        })
    }
}

//! The I/O control block: `docs/format.md`, section 4.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::FileSeed;
use super::field::{FieldError, exactly, multiple_of, sum, within};
use super::limits::{IOCB_BYTES, MAX_PAYLOAD, SECTOR_BYTES};
use crate::request::Operation;
use crate::units::{ByteLen, ByteOffset, Lsn, Timestamp};

/// What one transaction does, and where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iocb {
    /// Place in the order of the volume.
    pub lsn: Lsn,
    /// Which device of the volume, in the order of the header's device table.
    pub device: u16,
    /// What it does.
    pub kind: Kind,
    /// Whether it had to be durable before it was acknowledged.
    pub fua: bool,
    /// First byte on the device; 0 where the kind has no range.
    pub offset: ByteOffset,
    /// Bytes from there; 0 where the kind has no range.
    pub len: ByteLen,
    /// Where the bytes to store are: present exactly for a write.
    pub payload: Option<Payload>,
    /// When it was captured; for people, never for order.
    pub time: Timestamp,
}

/// What a transaction does to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Stores a payload.
    Write,
    /// Makes the range read as zeroes.
    WriteZeroes {
        /// Whether the space may be deallocated.
        unmap: bool,
    },
    /// Gives the space back; it reads as zeroes afterwards.
    Discard,
    /// What comes before must be durable before what comes after: a boundary for reordering.
    Flush,
    /// The request that had this LSN failed on the source's disk: changes nothing.
    Void,
    /// Says what the range held on the source's disk just behind the transaction before.
    Verify {
        /// xxh3-64 (seed 0) of the bytes of the range.
        digest: u64,
    },
    /// From here to the group end an applier takes all or nothing, however many files that is.
    GroupBegin {
        /// Transactions were not captured: only the end of the group makes that good.
        hole: bool,
    },
    /// Ends the group that is open.
    GroupEnd,
    /// From here to the baseline end all of the volume comes by. First of its file.
    BaselineBegin,
    /// All of the volume has come by since.
    BaselineEnd {
        /// Where that began.
        begin: Lsn,
    },
}

/// Where a payload lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// First byte, counted from the start of the file.
    pub place: u64,
    /// Bytes in the file; in this version the transaction's length.
    pub stored_size: u32,
    /// xxh3-64 of the stored bytes.
    pub checksum: u64,
}

/// Why 64 bytes are not an IOCB that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IocbError {
    /// Damaged, never written, or of another file.
    #[error("the IOCB's checksum is {found:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// The checksum stored.
        found: u32,
        /// The checksum of the bytes in this file.
        computed: u32,
    },
    /// An operation that the format has a number for and this version can't do.
    #[error("operation {0} is reserved for a later version")]
    Unsupported(u8),
    /// An operation without a meaning.
    #[error("{0} is not an operation")]
    Operation(u8),
    /// A flag that is unknown or has no meaning for the operation.
    #[error("flags {flags:#04x} are not allowed for operation {operation}")]
    Flags {
        /// The operation.
        operation: u8,
        /// All flags there.
        flags: u8,
    },
    /// A group begins inside of another one.
    #[error("a group begins, but that of LSN {open} has not ended")]
    GroupInGroup {
        /// Where the open group begins.
        open: Lsn,
    },
    /// A group ends and none is open.
    #[error("a group ends, but none is open")]
    NoGroup,
    /// A baseline begins behind the first record of a file, or begins or ends inside of a group.
    #[error("a baseline begins or ends where it can't")]
    MisplacedBaseline,
    /// The device is not in the header's table.
    #[error("device {device} of a volume of {count}")]
    Device {
        /// The index there.
        device: u16,
        /// How many devices there are.
        count: usize,
    },
    /// A field does not fit the format, the file or the device.
    #[error("IOCB: {0}")]
    Field(#[from] FieldError),
}

impl Kind {
    /// The kind under which a request is captured; `None` for a read.
    pub const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Read => None,
            Operation::Write => Some(Self::Write),
            Operation::WriteZeroes { unmap } => Some(Self::WriteZeroes { unmap }),
            Operation::Discard => Some(Self::Discard),
            Operation::Flush => Some(Self::Flush),
        }
    }

    /// Whether it changes bytes of the device.
    pub const fn changes_bytes(self) -> bool {
        matches!(self, Self::Write | Self::WriteZeroes { .. } | Self::Discard)
    }

    /// Whether a file that has it needs the feature [`GROUPS`](super::GROUPS).
    pub const fn needs_groups(self) -> bool {
        matches!(
            self,
            Self::Verify { .. } | Self::GroupBegin { .. } | Self::GroupEnd
        )
    }

    /// Whether a file that has it needs the feature [`BASELINES`](super::BASELINES).
    pub const fn needs_baselines(self) -> bool {
        matches!(self, Self::BaselineBegin | Self::BaselineEnd { .. })
    }

    /// Whether it concerns the series, and no device.
    pub const fn is_mark(self) -> bool {
        matches!(
            self,
            Self::GroupBegin { .. }
                | Self::GroupEnd
                | Self::BaselineBegin
                | Self::BaselineEnd { .. }
        )
    }

    /// What the field for the checksum of a payload holds where there is none.
    const fn digest(self) -> u64 {
        match self {
            Self::Verify { digest } => digest,
            Self::BaselineEnd { begin } => begin.get(),
            _ => 0,
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::WriteZeroes { unmap: false } => FLAG_NO_UNMAP,
            Self::GroupBegin { hole: true } => FLAG_HOLE,
            _ => 0,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Write => 1,
            Self::WriteZeroes { .. } => 2,
            Self::Discard => 3,
            Self::Flush => 4,
            Self::Void => 5,
            Self::Verify { .. } => 7,
            Self::GroupBegin { .. } => 10,
            Self::GroupEnd => 11,
            Self::BaselineBegin => 12,
            Self::BaselineEnd { .. } => 13,
        }
    }

    /// `digest` is what the field for the checksum of a payload holds.
    fn parse(number: u8, flags: u8, digest: u64) -> Result<Self, IocbError> {
        let (kind, allowed) = match number {
            1 => (Self::Write, FLAG_FUA),
            2 => {
                let unmap = flags & FLAG_NO_UNMAP == 0;
                (Self::WriteZeroes { unmap }, FLAG_FUA | FLAG_NO_UNMAP)
            }
            3 => (Self::Discard, FLAG_FUA),
            4 => (Self::Flush, 0),
            5 => (Self::Void, 0),
            7 => (Self::Verify { digest }, 0),
            10 => {
                let hole = flags & FLAG_HOLE != 0;
                (Self::GroupBegin { hole }, FLAG_HOLE)
            }
            11 => (Self::GroupEnd, 0),
            12 => (Self::BaselineBegin, 0),
            13 => (Self::BaselineEnd { begin: Lsn(digest) }, 0),
            6 | 8 | 9 => return Err(IocbError::Unsupported(number)),
            _ => return Err(IocbError::Operation(number)),
        };
        match flags & !allowed {
            0 => Ok(kind),
            _ => Err(IocbError::Flags {
                operation: number,
                flags,
            }),
        }
    }
}

impl Iocb {
    /// Takes an IOCB of the file with this seed apart: the checksum first.
    ///
    /// # Errors
    ///
    /// [`IocbError`] for what is wrong in itself; whether it fits its neighbours and the devices
    /// is what [`Sequence`](super::Sequence) checks.
    pub fn parse(bytes: &[u8; IOCB_BYTES], seed: FileSeed) -> Result<Self, IocbError> {
        let raw: &RawIocb = zerocopy::transmute_ref!(bytes);
        let computed = raw.computed_checksum(seed);
        if raw.checksum.get() != computed {
            return Err(IocbError::Checksum {
                found: raw.checksum.get(),
                computed,
            });
        }
        let kind = Kind::parse(raw.operation, raw.flags, raw.payload_checksum.get())?;
        exactly("reserved", raw.reserved.get().into(), 0)?;
        sum("offset + length", raw.offset.get(), raw.length.get())?;
        Ok(Self {
            lsn: Lsn(raw.lsn.get()),
            device: raw.device.get(),
            kind,
            fua: raw.flags & FLAG_FUA != 0,
            offset: ByteOffset(raw.offset.get()),
            len: ByteLen(raw.length.get()),
            payload: raw.parse_payload(kind)?,
            time: Timestamp(raw.time_ns.get()),
        })
    }

    /// The bytes of the IOCB in the file with this seed.
    pub fn encode(&self, seed: FileSeed) -> [u8; IOCB_BYTES] {
        let digest = self.kind.digest();
        let mut raw = RawIocb {
            lsn: self.lsn.get().into(),
            device: self.device.into(),
            operation: self.kind.number(),
            flags: (u8::from(self.fua) * FLAG_FUA) | self.kind.flags(),
            checksum: 0.into(),
            offset: self.offset.get().into(),
            length: self.len.get().into(),
            data_place: self.payload.map_or(0, |payload| payload.place).into(),
            stored_size: self.stored_size().into(),
            reserved: 0.into(),
            payload_checksum: self
                .payload
                .map_or(digest, |payload| payload.checksum)
                .into(),
            time_ns: self.time.get().into(),
        };
        raw.checksum = raw.computed_checksum(seed).into();
        zerocopy::transmute!(raw)
    }

    /// Bytes of the payload in the file; 0 without one.
    pub fn stored_size(&self) -> u32 {
        self.payload.map_or(0, |payload| payload.stored_size)
    }
}

const FLAG_FUA: u8 = 1;
const FLAG_NO_UNMAP: u8 = 2;
const FLAG_HOLE: u8 = 4;

/// The IOCB as stored.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIocb {
    lsn: U64,
    device: U16,
    operation: u8,
    flags: u8,
    checksum: U32,
    offset: U64,
    length: U64,
    data_place: U64,
    stored_size: U32,
    reserved: U32,
    payload_checksum: U64,
    time_ns: U64,
}

const _: () = assert!(size_of::<RawIocb>() == IOCB_BYTES);
// an IOCB never lies in two sectors
const _: () = assert!((SECTOR_BYTES as usize).is_multiple_of(IOCB_BYTES));

impl RawIocb {
    fn computed_checksum(&self, seed: FileSeed) -> u32 {
        let mut copy = *self;
        copy.checksum = 0.into();
        seed.iocb_checksum(copy.as_bytes())
    }

    fn parse_payload(&self, kind: Kind) -> Result<Option<Payload>, FieldError> {
        let stored_size = self.stored_size.get();
        if kind != Kind::Write {
            exactly("data_place", self.data_place.get(), 0)?;
            exactly("stored_size", stored_size.into(), 0)?;
            exactly(
                "payload_checksum",
                self.payload_checksum.get(),
                kind.digest(),
            )?;
            return Ok(None);
        }
        let (least, most) = (SECTOR_BYTES.into(), MAX_PAYLOAD.into());
        within("stored_size", stored_size.into(), least, most)?;
        multiple_of("stored_size", stored_size.into(), SECTOR_BYTES.into())?;
        exactly("length", self.length.get(), stored_size.into())?;
        Ok(Some(Payload {
            place: self.data_place.get(),
            stored_size,
            checksum: self.payload_checksum.get(),
        }))
    }
}

//! The bytes of the header, field by field: `docs/format.md`, section 3.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Digest, header_checksum};
use super::field::{FieldError, exactly, multiple_of, sum, within, zero};
use super::header::{BASELINES, GROUPS, Header, Layout, Seal};
use super::limits::{
    HEADER_BYTES, IOCB_BYTES, MAX_DEVICES, MAX_FILE_BYTES, MAX_IOCBS, PAGE_BYTES, SECTOR_BYTES,
};
use crate::identity::{DeviceIdentity, VolumeIdentity};
use crate::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, Timestamp, VolumeId};

/// First bytes of every journal file. Like PNG's they reveal a transfer in text mode or one that
/// lost the high bits.
pub(super) const MAGIC: [u8; 8] = *b"\x89AIM\r\n\x1a\n";
/// The version that this code writes and reads.
pub(super) const VERSION: u32 = 1;
/// One LSN is left to be the next one; a file number is never larger than an LSN.
const LSN_MAX: u64 = u64::MAX - 1;
const STATE_OPEN: u32 = 1;
const STATE_SEALED: u32 = 2;

/// The header as stored.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    header_len: U32,
    compatible: U64,
    pub(super) incompatible: U64,
    state: U32,
    epoch: U32,
    file_number: U64,
    first_lsn: U64,
    last_lsn: U64,
    volume: [u8; 16],
    previous_digest: Digest,
    pub(super) digest: Digest,
    total_size: U64,
    iocb_offset: U64,
    iocb_capacity: U64,
    iocb_count: U64,
    data_offset: U64,
    data_len: U64,
    created_ns: U64,
    sealed_ns: U64,
    device_count: U32,
    reserved: [u8; 4],
    open_group: U64,
    open_group_at_end: U64,
    baseline_begun: U64,
    baseline_ended: U64,
    reserved_behind: [u8; 256],
    pub(super) checksum: U64,
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
    /// The header as stored, checksum included.
    pub(super) fn new(header: &Header) -> Self {
        let mut raw = Self::new_zeroed();
        raw.magic = MAGIC;
        raw.version = VERSION.into();
        raw.header_len = (HEADER_BYTES as u32).into();
        raw.compatible = header.compatible.into();
        raw.incompatible = header.incompatible.into();
        raw.epoch = header.volume.epoch.get().into();
        raw.file_number = header.number.get().into();
        raw.first_lsn = header.first_lsn.get().into();
        raw.volume = header.volume.id.0;
        raw.previous_digest = header.previous;
        raw.open_group = header.open_group.get().into();
        raw.iocb_offset = header.layout.iocb_offset.into();
        raw.iocb_capacity = u64::from(header.layout.iocb_capacity).into();
        raw.data_offset = header.layout.data_offset.into();
        raw.created_ns = header.created.get().into();
        raw.device_count = (header.volume.devices.len() as u32).into();
        for (entry, device) in raw.devices.iter_mut().zip(&header.volume.devices) {
            entry.id = device.id.0;
            entry.size = device.size.get().into();
            entry.block_size = device.block_size.into();
        }
        raw.state = STATE_OPEN.into();
        if let Some(seal) = &header.seal {
            raw.state = STATE_SEALED.into();
            raw.last_lsn = seal.last_lsn.get().into();
            raw.digest = seal.digest;
            raw.iocb_count = u64::from(seal.iocb_count).into();
            raw.data_len = seal.data_len.get().into();
            raw.total_size = seal.total_size.get().into();
            raw.sealed_ns = seal.sealed.get().into();
            raw.open_group_at_end = seal.open_group.get().into();
            raw.baseline_begun = seal.baseline_begun.get().into();
            raw.baseline_ended = seal.baseline_ended.get().into();
        }
        raw.checksum = raw.computed_checksum().into();
        raw
    }

    pub(super) fn computed_checksum(&self) -> u64 {
        let mut copy = self.clone();
        copy.checksum = 0.into();
        header_checksum(copy.as_bytes())
    }

    /// Checks everything behind magic, version, checksum and flags.
    pub(super) fn parse(&self) -> Result<Header, FieldError> {
        exactly(
            "header_len",
            self.header_len.get().into(),
            HEADER_BYTES as u64,
        )?;
        // a compatible feature that is not known here may have put something there
        if self.compatible.get() == 0 {
            zero("reserved", &self.reserved)?;
            zero("reserved", &self.reserved_behind)?;
            zero("reserved_tail", &self.reserved_tail)?;
        }
        self.check_place_in_series()?;
        self.check_open_group()?;
        self.check_baselines()?;
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
            incompatible: self.incompatible.get(),
            volume: VolumeIdentity {
                id: VolumeId(self.volume),
                epoch: Epoch(self.epoch.get()),
                devices: self.parse_devices()?,
            },
            number: FileNumber(self.file_number.get()),
            first_lsn: Lsn(self.first_lsn.get()),
            previous: self.previous_digest,
            open_group: Lsn(self.open_group.get()),
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

    /// The group that is open at the start began in a file before. Which records a sealed file
    /// has is for its reader to compare with the bit.
    fn check_open_group(&self) -> Result<(), FieldError> {
        let open_group = self.open_group.get();
        within("open_group", open_group, 0, self.first_lsn.get() - 1)?;
        let is_sealed = self.state.get() == STATE_SEALED;
        match (self.incompatible.get() & GROUPS != 0, open_group) {
            (false, 0) => exactly("open_group_at_end", self.open_group_at_end.get(), 0),
            (true, 0) if !is_sealed => exactly("incompatible", GROUPS, 0),
            (true, _) => Ok(()),
            (false, _) => exactly("incompatible", 0, GROUPS),
        }
    }

    /// A baseline begins where a file does that is in no group, and ends behind its begin.
    fn check_baselines(&self) -> Result<(), FieldError> {
        let (begun, ended) = (self.baseline_begun.get(), self.baseline_ended.get());
        let is_sealed = self.state.get() == STATE_SEALED;
        if self.incompatible.get() & BASELINES == 0 || !is_sealed {
            exactly("incompatible", self.incompatible.get() & BASELINES, 0)?;
            exactly("baseline_begun", begun, 0)?;
            return exactly("baseline_ended", ended, 0);
        }
        if begun != 0 {
            exactly("baseline_begun", begun, self.first_lsn.get())?;
            exactly("open_group", self.open_group.get(), 0)?;
        }
        match begun | ended {
            0 => exactly("incompatible", BASELINES, 0),
            _ => Ok(()),
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
        exactly("sealed_ns", self.sealed_ns.get(), 0)?;
        exactly("open_group_at_end", self.open_group_at_end.get(), 0)
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
        let ended = self.baseline_ended.get();
        within("baseline_ended", ended, 0, last_lsn - 1)?;
        let sealed = self.sealed_ns.get();
        within("sealed_ns", sealed, self.created_ns.get(), u64::MAX)?;
        Ok(Seal {
            last_lsn: Lsn(last_lsn),
            digest: self.digest,
            iocb_count: count as u32,
            data_len: ByteLen(data_len),
            total_size: ByteLen(total_size),
            sealed: Timestamp(sealed),
            open_group: self.parse_open_group_at_end(last_lsn)?,
            baseline_begun: Lsn(self.baseline_begun.get()),
            baseline_ended: Lsn(ended),
        })
    }

    /// None, the one from the start, or one that begins in the file.
    fn parse_open_group_at_end(&self, last_lsn: u64) -> Result<Lsn, FieldError> {
        let found = self.open_group_at_end.get();
        if found != 0 && found != self.open_group.get() {
            within("open_group_at_end", found, self.first_lsn.get(), last_lsn)?;
        }
        Ok(Lsn(found))
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

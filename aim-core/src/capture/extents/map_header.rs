//! The header of the extent map, its first sector.

use std::io;
use std::ops::RangeInclusive;

use crate::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::sector::SECTOR_BYTES;
use crate::fs::DirFile;
use crate::identity::VolumeIdentity;

const MAGIC: [u8; 8] = *b"\x89AIMmap\n";
const VERSION: u32 = 1;
/// First byte of the bits; the header is in the first sector.
pub(super) const BITS_PLACE: u64 = 4096;
/// Extents are at least a block of the disk, and at most this: a shift that fits every number.
pub(super) const SHIFT_RANGE: RangeInclusive<u32> = 9..=40;

/// How the one who wrote the map ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) enum MapState {
    /// Cleanly: hot bits mean nothing.
    Clean,
    /// It runs, or it was interrupted.
    Capturing,
    /// As `Capturing`, and some transactions were not captured.
    Tracking,
}

/// The first sector of the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    magic: [u8; 8],
    version: U32,
    state: U32,
    pub(super) volume: [u8; 16],
    shift: U32,
    device_count: U32,
    device_sizes: [U64; 16],
    reserved: [u8; 336],
    checksum: U64,
}

const _: () = assert!(size_of::<RawHeader>() == SECTOR_BYTES);

impl RawHeader {
    pub(super) fn new(volume: &VolumeIdentity, shift: u32, state: MapState) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION.into(),
            state: match state {
                MapState::Clean => 1,
                MapState::Capturing => 2,
                MapState::Tracking => 3,
            }
            .into(),
            volume: volume.id.0,
            shift: shift.into(),
            device_count: (volume.devices.len() as u32).into(),
            device_sizes: sizes(volume),
            reserved: [0; 336],
            checksum: 0.into(),
        };
        header.checksum = header.computed_checksum().into();
        header
    }

    fn computed_checksum(&self) -> u64 {
        xxh3_64(&self.as_bytes()[..SECTOR_BYTES - size_of::<U64>()])
    }

    /// Shift and state, if the map is of these devices.
    pub(super) fn parse(&self, volume: &VolumeIdentity) -> Option<(u32, MapState)> {
        let state = match self.state.get() {
            1 => MapState::Clean,
            2 => MapState::Capturing,
            3 => MapState::Tracking,
            _ => return None,
        };
        let fits = self.version.get() == VERSION
            && SHIFT_RANGE.contains(&self.shift.get())
            && self.device_count.get() as usize == volume.devices.len()
            && self.device_sizes == sizes(volume);
        fits.then_some((self.shift.get(), state))
    }
}

fn sizes(volume: &VolumeIdentity) -> [U64; 16] {
    let mut sizes = [U64::new(0); 16];
    for (size, device) in sizes.iter_mut().zip(&volume.devices) {
        *size = device.size.get().into();
    }
    sizes
}

/// `None` where there is no header that can be believed.
pub(super) fn read_header(file: &dyn DirFile) -> io::Result<Option<RawHeader>> {
    if file.len()? < BITS_PLACE {
        return Ok(None);
    }
    let mut bytes = [0; SECTOR_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let header: RawHeader = zerocopy::transmute!(bytes);
    let intact = header.magic == MAGIC && header.checksum.get() == header.computed_checksum();
    Ok(intact.then_some(header))
}

//! The disks of a volume, their sectors counted one disk after the other.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aim_core::capture::SourceDisk;
use aim_core::device::BlockDevice;
use aim_core::identity::VolumeIdentity;
use aim_core::units::{ByteLen, ByteOffset};
use aim_tests::{Power, VolatileDevice};

use crate::sector::{self, Stamp};

/// The disks of one host.
#[derive(Debug)]
pub(crate) struct Disks(Vec<Disk>);

#[derive(Debug)]
struct Disk {
    device: Arc<VolatileDevice>,
    first: usize,
    sectors: usize,
    sync_failed: Arc<AtomicBool>,
}

/// A disk as a capture has it. What the capture's own syncs meet, its callers don't hear.
#[derive(Debug)]
struct Captured {
    device: Arc<VolatileDevice>,
    sync_failed: Arc<AtomicBool>,
}

impl SourceDisk for Captured {
    fn bytes(&self) -> ByteLen {
        self.device.size()
    }

    fn read_at(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.device.read(offset, buffer)
    }

    fn make_durable(&self) -> io::Result<()> {
        let synced = self.device.sync();
        self.sync_failed
            .fetch_or(synced.is_err(), Ordering::Relaxed);
        synced
    }
}

impl Disks {
    /// Disks of zeroes; `seed` decides what power cuts leave.
    pub(crate) fn new(volume: &VolumeIdentity, power: &Arc<Power>, seed: u64) -> Self {
        let mut first = 0;
        let disks = volume.devices.iter().zip(seed..).map(|(device, seed)| {
            let sectors = device.size.get() as usize / sector::BYTES;
            let at = first;
            first += sectors;
            Disk {
                device: VolatileDevice::new(device.size, device.block_size, power.clone(), seed),
                first: at,
                sectors,
                sync_failed: Arc::default(),
            }
        });
        Self(disks.collect())
    }

    /// Sectors of all disks together.
    pub(crate) fn sectors(&self) -> usize {
        self.0.iter().map(|disk| disk.sectors).sum()
    }

    pub(crate) fn disk(&self, device: u16) -> &Arc<VolatileDevice> {
        &self.0[usize::from(device)].device
    }

    pub(crate) fn as_devices(&self) -> Vec<Arc<dyn BlockDevice>> {
        let disks = self.0.iter();
        disks
            .map(|disk| disk.device.clone() as Arc<dyn BlockDevice>)
            .collect()
    }

    /// The disks as a capture has them.
    pub(crate) fn as_source_disks(&self) -> Vec<Arc<dyn SourceDisk>> {
        let disks = self.0.iter().map(|disk| -> Arc<dyn SourceDisk> {
            Arc::new(Captured {
                device: disk.device.clone(),
                sync_failed: disk.sync_failed.clone(),
            })
        });
        disks.collect()
    }

    /// The sectors of disks of which a sync failed that the capture asked for by itself, since
    /// this was asked last.
    pub(crate) fn take_failed_syncs(&self) -> Vec<Range<usize>> {
        let failed = self
            .0
            .iter()
            .filter(|disk| disk.sync_failed.swap(false, Ordering::Relaxed));
        failed
            .map(|disk| disk.first..disk.first + disk.sectors)
            .collect()
    }

    /// The sector at `offset` of a device.
    pub(crate) fn place(&self, device: u16, offset: ByteOffset) -> usize {
        self.0[usize::from(device)].first + offset.get() as usize / sector::BYTES
    }

    /// The sectors of a device.
    pub(crate) fn places(&self, device: u16) -> Range<usize> {
        let disk = &self.0[usize::from(device)];
        disk.first..disk.first + disk.sectors
    }

    /// Which device a sector is on, and at which offset.
    pub(crate) fn locate(&self, place: usize) -> (u16, ByteOffset) {
        let device = self.0.partition_point(|disk| disk.first <= place) - 1;
        let offset = (place - self.0[device].first) * sector::BYTES;
        (device as u16, ByteOffset(offset as u64))
    }

    /// The offset of a sector on its device.
    pub(crate) fn offset(&self, place: usize) -> ByteOffset {
        self.locate(place).1
    }

    /// What some sectors of one device hold, as a reader sees them.
    pub(crate) fn stamps_at(&self, first: usize, count: usize) -> Vec<Stamp> {
        if count == 0 {
            return Vec::new();
        }
        let (device, offset) = self.locate(first);
        let content = self.disk(device).content();
        let start = offset.get() as usize;
        sector::stamps(&content[start..start + count * sector::BYTES]).collect()
    }

    /// What all sectors hold, as a reader sees them.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        let mut stamps = Vec::with_capacity(self.sectors());
        for disk in &self.0 {
            stamps.extend(sector::stamps(&disk.device.content()));
        }
        stamps
    }

    /// What all sectors hold for certain if the power goes now.
    pub(crate) fn durable_stamps(&self) -> Vec<Stamp> {
        let mut stamps = Vec::with_capacity(self.sectors());
        for disk in &self.0 {
            stamps.extend(sector::stamps(&disk.device.durable_content()));
        }
        stamps
    }

    /// Forgets what a power cut makes the disks forget.
    pub(crate) fn power_cut(&self) {
        self.0.iter().for_each(|disk| disk.device.power_cut());
    }

    /// Alters a byte of a sector.
    pub(crate) fn decay(&self, place: usize, byte: usize, flipped: u8) {
        let (device, offset) = self.locate(place);
        let at = offset.get() as usize + byte;
        self.disk(device).decay(at, flipped);
    }

    /// Leaves out all syncs from here on.
    pub(crate) fn skip_syncs(&self) {
        self.0.iter().for_each(|disk| disk.device.skip_syncs(true));
    }
}

//! The extents in memory: what the map file shall say, and what it says for certain.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::sector::{self, Bits, SECTOR_EXTENTS};
use crate::identity::VolumeIdentity;
use crate::request::Request;
use crate::units::{ByteLen, ByteOffset};

/// Smallest extent on a disk, unless a test wants smaller ones.
const EXTENT_BYTES_MIN: u64 = 4 << 20;
/// Extents of a volume, at most about this many: the table stays small on the largest disk.
const EXTENTS_MAX: u64 = 1 << 18;

/// Which bit must be durable before a request may change an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) enum Guarantee {
    /// It is captured: after a power cut it has to be copied.
    Hot,
    /// It is not captured: it has to be copied in any case.
    Need,
}

/// All extents of a volume, device after device.
///
/// Invariant: a stored bit is also wanted. What the file holds is at least what is stored; it may
/// hold bits that are no longer wanted.
#[derive(Debug)]
pub(in crate::capture) struct Extents {
    shift: u32,
    devices: Vec<DeviceExtents>,
    /// What the file shall say.
    pub(super) wanted: Vec<Bits>,
    /// Which of it the file says durably.
    pub(super) stored: Vec<Bits>,
    /// Sectors in which the file differs from what is wanted.
    pub(super) changed: Vec<bool>,
    pub(super) changes: Changes,
    /// Per extent: captured or tracked requests whose I/O on the disk is not complete.
    pub(super) in_flight: Vec<u32>,
    /// Per extent: the generation in which it was last changed.
    pub(super) touched: Vec<u32>,
    pub(super) generation: u32,
    /// Hot extents up to which neighbours become hot as well.
    pub(super) neighbours_up_to: usize,
    /// Extents that can't be read at present: they stay needed, and nobody waits for them.
    unreadable: Vec<usize>,
    /// Extents that are being copied, and whether each was needed anew meanwhile.
    copying: BTreeMap<usize, bool>,
    /// Needed extents that are copied without comparing: the series does not say all of them, as a
    /// request failed there; or the mirror was found to differ there.
    in_full: BTreeSet<usize>,
    needed: usize,
    pub(super) hot: usize,
}

#[derive(Clone, Copy, Debug)]
struct DeviceExtents {
    first: usize,
    count: usize,
    size: u64,
}

/// What the map worker has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::capture) enum Changes {
    /// Nothing.
    #[default]
    None,
    /// Bits to be cleared: nobody waits.
    Lazy,
    /// Bits to be set: a request waits.
    Urgent,
}

/// A part of a device: one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Extent {
    pub(in crate::capture) index: usize,
    pub(in crate::capture) device: u16,
    pub(in crate::capture) offset: ByteOffset,
    pub(in crate::capture) len: ByteLen,
}

/// The binary logarithm of the extent size that fits a volume.
pub(super) fn default_shift(volume: &VolumeIdentity) -> u32 {
    let bytes: u64 = volume.devices.iter().map(|device| device.size.get()).sum();
    let least = (bytes / EXTENTS_MAX).max(EXTENT_BYTES_MIN);
    least.next_power_of_two().trailing_zeros()
}

/// Sectors that the extents of a volume take.
pub(super) fn sectors(volume: &VolumeIdentity, shift: u32) -> usize {
    let extents: u64 = (volume.devices.iter())
        .map(|device| device.size.get().div_ceil(1 << shift))
        .sum();
    (extents as usize).div_ceil(SECTOR_EXTENTS)
}

impl Extents {
    /// The extents of a volume with these bits, none of which counts as stored yet.
    pub(in crate::capture) fn new(volume: &VolumeIdentity, shift: u32, bits: Vec<Bits>) -> Self {
        let mut first = 0;
        let devices: Vec<_> = (volume.devices.iter())
            .map(|device| {
                let count = device.size.get().div_ceil(1 << shift) as usize;
                let extents = DeviceExtents {
                    first,
                    count,
                    size: device.size.get(),
                };
                first += count;
                extents
            })
            .collect();
        let mut extents = Self {
            shift,
            devices,
            stored: vec![Bits::default(); bits.len()],
            changed: vec![true; bits.len()],
            changes: Changes::Urgent,
            wanted: bits,
            in_flight: vec![0; first],
            touched: vec![0; first],
            generation: 1,
            neighbours_up_to: 0,
            unreadable: Vec::new(),
            copying: BTreeMap::new(),
            in_full: BTreeSet::new(),
            needed: 0,
            hot: 0,
        };
        extents.drop_surplus();
        extents.needed = (0..first).filter(|&index| extents.is_needed(index)).count();
        extents.hot = (0..first).filter(|&index| extents.is_hot(index)).count();
        extents
    }

    /// Bits behind the last extent mean nothing; a lost sector has set them.
    fn drop_surplus(&mut self) {
        let count = self.touched.len();
        for index in count..self.wanted.len() * SECTOR_EXTENTS {
            let bits = &mut self.wanted[index / SECTOR_EXTENTS];
            sector::set(&mut bits.hot, index % SECTOR_EXTENTS, false);
            sector::set(&mut bits.need, index % SECTOR_EXTENTS, false);
        }
    }

    /// Number of extents.
    pub(in crate::capture) fn count(&self) -> usize {
        self.touched.len()
    }

    /// The extents that a request changes.
    pub(in crate::capture) fn of(&self, request: &Request) -> Range<usize> {
        let Some(device) = self.devices.get(usize::from(request.device)) else {
            return 0..0;
        };
        if request.len.get() == 0 {
            return 0..0;
        }
        let last_byte = request.offset.get().saturating_add(request.len.get() - 1);
        let at = |byte: u64| device.first + ((byte >> self.shift) as usize).min(device.count - 1);
        at(request.offset.get())..at(last_byte) + 1
    }

    /// Where an extent is.
    pub(in crate::capture) fn place(&self, index: usize) -> Extent {
        let owner = self.devices.partition_point(|device| device.first <= index) - 1;
        let device = &self.devices[owner];
        let offset = ((index - device.first) as u64) << self.shift;
        Extent {
            index,
            // a volume has at most 16 devices
            device: owner as u16,
            offset: ByteOffset(offset),
            len: ByteLen((1 << self.shift).min(device.size - offset)),
        }
    }

    /// Whether the guarantee is durable for all of `range`; if not, it is noted as wanted.
    pub(in crate::capture) fn require(&mut self, range: Range<usize>, what: Guarantee) -> bool {
        let mut is_stored = true;
        for index in range {
            let (at, bit) = (index / SECTOR_EXTENTS, index % SECTOR_EXTENTS);
            self.touched[index] = self.generation;
            let words = |bits: &mut Bits| match what {
                Guarantee::Hot => sector::get(&bits.hot, bit),
                Guarantee::Need => sector::get(&bits.need, bit),
            };
            if words(&mut self.stored[at]) {
                continue;
            }
            is_stored = false;
            match what {
                Guarantee::Hot => {
                    // whoever asks again, while the map is written, changes nothing
                    if sector::set(&mut self.wanted[at].hot, bit, true) {
                        self.hot += 1;
                        self.warm_with(index);
                    }
                }
                Guarantee::Need => self.need(index..index + 1),
            }
            self.changed[at] = true;
            self.changes = Changes::Urgent;
        }
        is_stored
    }

    /// A request that changes `range` goes to the disk.
    pub(in crate::capture) fn begin(&mut self, range: Range<usize>) {
        for index in range {
            self.in_flight[index] += 1;
            self.touched[index] = self.generation;
        }
    }

    /// A request that changed `range` is complete on the disk.
    pub(in crate::capture) fn end(&mut self, range: Range<usize>) {
        for index in range {
            self.in_flight[index] -= 1;
            self.touched[index] = self.generation;
        }
    }

    /// The series does not tell what the disk holds in `range`.
    pub(in crate::capture) fn need(&mut self, range: Range<usize>) {
        for index in range {
            let at = index / SECTOR_EXTENTS;
            if let Some(is_spoiled) = self.copying.get_mut(&index) {
                *is_spoiled = true;
            }
            if sector::set(&mut self.wanted[at].need, index % SECTOR_EXTENTS, true) {
                self.needed += 1;
                self.changed[at] = true;
                self.changes = self.changes.max(Changes::Lazy);
            }
        }
    }

    /// Whatever may be on one of disk and journal only has to be copied.
    pub(in crate::capture) fn need_all_hot(&mut self) {
        for index in 0..self.count() {
            if sector::get(
                &self.wanted[index / SECTOR_EXTENTS].hot,
                index % SECTOR_EXTENTS,
            ) {
                self.need(index..index + 1);
            }
        }
    }

    pub(in crate::capture) fn is_needed(&self, index: usize) -> bool {
        let bits = &self.wanted[index / SECTOR_EXTENTS];
        sector::get(&bits.need, index % SECTOR_EXTENTS)
    }

    pub(in crate::capture) fn is_hot(&self, index: usize) -> bool {
        let bits = &self.wanted[index / SECTOR_EXTENTS];
        sector::get(&bits.hot, index % SECTOR_EXTENTS)
    }

    /// Whether any extent in `range` has to be copied.
    pub(in crate::capture) fn any_needed(&self, range: Range<usize>) -> bool {
        self.needed > 0 && range.into_iter().any(|index| self.is_needed(index))
    }

    /// Extents that have to be copied, those that can't be read among them.
    pub(in crate::capture) fn needed(&self) -> usize {
        self.needed
    }

    /// Extents that have to be copied and can't be read.
    pub(in crate::capture) fn unreadable(&self) -> usize {
        self.unreadable.len()
    }

    /// Hot extents.
    pub(in crate::capture) fn hot(&self) -> usize {
        self.hot
    }

    /// The series does not tell what the disk holds in `range`, and comparing would not help.
    pub(in crate::capture) fn need_in_full(&mut self, range: Range<usize>) {
        self.in_full.extend(range.clone());
        self.need(range);
    }

    /// What failed before does not count any more: the series begins anew.
    pub(in crate::capture) fn forget_in_full(&mut self) {
        self.in_full.clear();
    }

    /// Starts to copy the first needed extent at or behind `from`, or the first of all.
    pub(in crate::capture) fn start_copy(&mut self, from: usize) -> Option<Extent> {
        if self.needed == self.unreadable.len() {
            return None;
        }
        let wanted = |&index: &usize| self.is_needed(index) && !self.unreadable.contains(&index);
        let found = (from..self.count()).chain(0..from).find(wanted)?;
        self.copying.insert(found, false);
        Some(self.place(found))
    }

    /// Starts to copy up to `most` needed extents of which the series tells all that was done.
    pub(in crate::capture) fn start_batch(&mut self, most: usize) -> Vec<Extent> {
        let wanted = |index: &usize| {
            self.is_needed(*index)
                && !self.unreadable.contains(index)
                && !self.in_full.contains(index)
        };
        let found: Vec<usize> = match self.needed {
            0 => Vec::new(),
            _ => (0..self.count()).filter(wanted).take(most).collect(),
        };
        self.copying
            .extend(found.iter().map(|index| (*index, false)));
        found.into_iter().map(|index| self.place(index)).collect()
    }

    /// All of an extent has its place in the order: from here on it is like one that was written.
    /// If it was needed anew meanwhile it stays needed.
    pub(in crate::capture) fn end_copy(&mut self, index: usize) {
        if self.copying.remove(&index) == Some(false) {
            let (at, bit) = (index / SECTOR_EXTENTS, index % SECTOR_EXTENTS);
            self.needed -= usize::from(sector::set(&mut self.wanted[at].need, bit, false));
            sector::set(&mut self.stored[at].need, bit, false);
            self.hot += usize::from(sector::set(&mut self.wanted[at].hot, bit, true));
            self.touched[index] = self.generation;
            self.in_full.remove(&index);
            self.changed[at] = true;
            self.changes = self.changes.max(Changes::Lazy);
        }
    }

    /// An extent that is being copied is left as it is: needed.
    pub(in crate::capture) fn abort_copy(&mut self, index: usize, is_unreadable: bool) {
        if self.copying.remove(&index).is_some() && is_unreadable {
            self.unreadable.push(index);
        }
    }

    /// Extents that could not be read are tried again.
    pub(in crate::capture) fn retry_unreadable(&mut self) {
        self.unreadable.clear();
    }

    pub(in crate::capture) fn changes(&self) -> Changes {
        self.changes
    }

    /// The sectors that the file lacks, as they shall be; they count as written from here on, and
    /// as stored after [`set_stored`](Self::set_stored).
    pub(in crate::capture) fn take_changes(&mut self) -> Vec<(usize, Bits)> {
        self.changes = Changes::None;
        let sectors = self.changed.iter_mut().enumerate();
        let changed = sectors.filter_map(|(at, changed)| std::mem::take(changed).then_some(at));
        changed.map(|at| (at, self.wanted[at])).collect()
    }

    /// These sectors are durable.
    pub(in crate::capture) fn set_stored(&mut self, sectors: &[(usize, Bits)]) {
        for (at, written) in sectors {
            let (stored, wanted) = (&mut self.stored[*at], &self.wanted[*at]);
            for word in 0..written.hot.len() {
                // what was cleared while it was written is not promised any more
                stored.hot[word] = written.hot[word] & wanted.hot[word];
                stored.need[word] = written.need[word] & wanted.need[word];
            }
        }
    }

    /// These sectors could not be written.
    pub(in crate::capture) fn put_back(&mut self, sectors: &[(usize, Bits)]) {
        for (at, _) in sectors {
            self.changed[*at] = true;
        }
        self.changes = Changes::Urgent;
    }

    /// Everything as it shall be.
    pub(in crate::capture) fn all(&self) -> Vec<(usize, Bits)> {
        self.wanted.iter().copied().enumerate().collect()
    }
}

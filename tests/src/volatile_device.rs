//! A disk with a volatile cache.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aim_core::device::{BlockDevice, WriteBatch, check_range};
use aim_core::units::{ByteLen, ByteOffset};

use crate::{Power, Rng, Step};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// A disk in memory whose cache is lost with the power.
///
/// - After a power cut each sector holds its content as of the last sync, or any content that
///   was written to it since: every sector for itself.
/// - After a failed sync the sectors that were to be written are read back as written, but no
///   later sync makes them durable (as in the page cache of Linux): only writing them again does.
/// - A failed write has stored a part of its sectors.
/// - Writes of a batch are under way until the next batch or [`settle`](BlockDevice::settle), in any order
///   that [`write_behind`](BlockDevice::write_behind) allows. Nobody reads them, and no sync makes them
///   durable, before they have ended.
#[derive(Debug)]
pub struct VolatileDevice {
    size: ByteLen,
    block_size: u32,
    power: Arc<Power>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    durable: Vec<u8>,
    current: Vec<u8>,
    /// All that was written to a sector since the last sync, oldest first.
    unsynced: BTreeMap<usize, Vec<Sector>>,
    skips_syncs: bool,
    /// Writes that were begun, and have not ended.
    under_way: Vec<Begun>,
}

/// Where, what, and whether the next batch waits for it.
#[derive(Debug)]
struct Begun {
    offset: ByteOffset,
    data: Vec<u8>,
    is_of_last: bool,
}

impl VolatileDevice {
    /// A disk of zeroes. `seed` decides what a power cut leaves.
    pub fn new(size: ByteLen, block_size: u32, power: Arc<Power>, seed: u64) -> Arc<Self> {
        let zeroes = vec![0; size.get() as usize];
        Arc::new(Self {
            size,
            block_size,
            power,
            state: Mutex::new(State {
                rng: Rng::new(seed),
                durable: zeroes.clone(),
                current: zeroes,
                unsynced: BTreeMap::new(),
                skips_syncs: false,
                under_way: Vec::new(),
            }),
        })
    }

    /// What a reader sees.
    pub fn content(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// What a power cut would certainly leave of sectors that nobody wrote since the last sync.
    pub fn durable_content(&self) -> Vec<u8> {
        self.lock().durable.clone()
    }

    /// Alters a byte on the medium, as a decaying disk does.
    pub fn decay(&self, offset: usize, flipped: u8) {
        let state = &mut *self.lock();
        state.current[offset] ^= flipped;
        state.durable[offset] ^= flipped;
    }

    /// Only claims to sync from here on, or does it again: what stands for code that leaves the
    /// sync out.
    pub fn skip_syncs(&self, skip: bool) {
        self.lock().skips_syncs = skip;
    }

    /// A write that was under way when whoever issued it came to its end: it is no step.
    ///
    /// # Panics
    ///
    /// If the range is not on the disk.
    pub fn land(&self, offset: ByteOffset, data: &[u8]) {
        self.lock().write(offset, data, |_| false);
    }

    /// Forgets what a power cut makes it forget.
    pub fn power_cut(&self) {
        let state = &mut *self.lock();
        for begun in std::mem::take(&mut state.under_way) {
            // each sector has reached the cache or not
            state.write(begun.offset, &begun.data, |rng| rng.chance(2));
        }
        for (sector, versions) in std::mem::take(&mut state.unsynced) {
            let chosen = state.rng.below(versions.len() as u64 + 1) as usize;
            if let Some(version) = versions.get(chosen) {
                sector_mut(&mut state.durable, sector).copy_from_slice(version);
            }
        }
        state.current.clone_from(&state.durable);
    }

    fn change(&self, label: &'static str, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(data.len() as u64))?;
        let state = &mut *self.lock();
        let step = self.power.step(label);
        if let Step::Off(error) = step {
            return Err(error);
        }
        let fails = matches!(step, Step::Fail(_));
        state.write(offset, data, |rng| fails && rng.chance(2));
        match step {
            Step::Go => Ok(()),
            Step::Fail(error) | Step::Cut(error) | Step::Off(error) => Err(error),
        }
    }

    /// Ends one that is under way after the other, whichever. After an error none is.
    fn end_while(&self, is_needed: impl Fn(&State) -> bool) -> io::Result<()> {
        loop {
            let taken = self.lock().take_any(&is_needed);
            let Some(begun) = taken else {
                return Ok(());
            };
            let ended = self.change("device write", begun.offset, &begun.data);
            if ended.is_err() {
                self.lock().under_way.clear();
                return ended;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn overlaps(&self, other: &Self) -> bool {
        let end = |begun: &Self| begun.offset.get() + begun.data.len() as u64;
        self.offset.get() < end(other) && other.offset.get() < end(self)
    }
}

impl State {
    /// One that is under way, while `is_needed`.
    fn take_any(&mut self, is_needed: impl Fn(&Self) -> bool) -> Option<Begun> {
        if !is_needed(self) {
            return None;
        }
        let chosen = self.rng.below(self.under_way.len() as u64) as usize;
        Some(self.under_way.swap_remove(chosen))
    }

    fn has_earlier(&self) -> bool {
        self.under_way.iter().any(|begun| !begun.is_of_last)
    }

    /// Stores whole sectors, without those that `omits` chooses.
    fn write(&mut self, offset: ByteOffset, data: &[u8], omits: impl Fn(&mut Rng) -> bool) {
        let first = offset.get() as usize / SECTOR_BYTES;
        for (index, new) in data.as_chunks::<SECTOR_BYTES>().0.iter().enumerate() {
            if omits(&mut self.rng) {
                continue;
            }
            let sector = first + index;
            sector_mut(&mut self.current, sector).copy_from_slice(new);
            self.unsynced.entry(sector).or_default().push(*new);
        }
    }
}

fn sector_mut(bytes: &mut [u8], sector: usize) -> &mut [u8] {
    &mut bytes[sector * SECTOR_BYTES..][..SECTOR_BYTES]
}

impl BlockDevice for VolatileDevice {
    fn size(&self) -> ByteLen {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        check_range(self, offset, ByteLen(buffer.len() as u64))?;
        self.power.require_on()?;
        let start = offset.get() as usize;
        buffer.copy_from_slice(&self.lock().current[start..start + buffer.len()]);
        Ok(())
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.change("device write", offset, data)
    }

    fn write_behind(&self, batch: WriteBatch) -> io::Result<()> {
        for (offset, len) in batch.ranges() {
            check_range(self, offset, len)?;
        }
        let begun = |(offset, data): (ByteOffset, &[u8])| Begun {
            offset,
            data: data.to_vec(),
            is_of_last: true,
        };
        let mut held = Vec::new();
        {
            let state = &mut *self.lock();
            for earlier in &mut state.under_way {
                earlier.is_of_last = false;
            }
            for begun in batch.runs().map(begun) {
                match state.under_way.iter().any(|other| other.overlaps(&begun)) {
                    true => held.push(begun),
                    false => state.under_way.push(begun),
                }
            }
        }
        self.end_while(State::has_earlier)?;
        self.lock().under_way.extend(held);
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        self.end_while(|state| !state.under_way.is_empty())
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, _unmap: bool) -> io::Result<()> {
        check_range(self, offset, len)?;
        self.change("device zeroes", offset, &vec![0; len.get() as usize])
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.lock();
        match self.power.step("device sync") {
            Step::Go if state.skips_syncs => Ok(()),
            Step::Go => {
                for sector in std::mem::take(&mut state.unsynced).into_keys() {
                    let synced = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                    state.durable[synced.clone()].copy_from_slice(&state.current[synced]);
                }
                Ok(())
            }
            Step::Fail(error) => {
                state.unsynced.clear();
                Err(error)
            }
            Step::Cut(error) | Step::Off(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(power: &Arc<Power>, seed: u64) -> Arc<VolatileDevice> {
        VolatileDevice::new(ByteLen(4096), 512, power.clone(), seed)
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_a_choice_of_the_rest() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let device = device(&Power::steady(), seed);
            device.write(ByteOffset(0), &[1; 1024]).unwrap();
            device.sync().unwrap();
            device.write(ByteOffset(512), &[2; 512]).unwrap();
            device.write(ByteOffset(512), &[3; 512]).unwrap();
            device.power_cut();
            let left = device.content();
            assert_eq!(left[..512], [1; 512]);
            seen.insert(left[512]);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_a_failed_sync_dropped_needs_writing_again() {
        let power = Power::steady();
        let device = device(&power, 1);
        power.fail_at(2, io::ErrorKind::Other);
        device.write(ByteOffset(0), &[5; 512]).unwrap();
        assert!(device.sync().is_err());
        device.sync().unwrap();
        assert_eq!(device.content()[0], 5, "still in the cache");
        device.power_cut();
        assert_eq!(device.content()[0], 0, "but never on the medium");
    }

    #[test]
    fn a_batch_is_under_way_until_the_next_one_or_until_it_is_settled() {
        let batch = |byte, offset| {
            let memory = Arc::new(vec![byte; 512]);
            WriteBatch::new(memory, [(ByteOffset(offset), 0..512)])
        };
        for seed in 0..16 {
            let device = device(&Power::steady(), seed);
            device.write_behind(batch(1, 0)).unwrap();
            device.sync().unwrap();
            assert_eq!(device.content()[0], 0);
            device.write_behind(batch(2, 0)).unwrap();
            assert_eq!(device.content()[0], 1, "seed {seed}");
            device.write_behind(batch(3, 512)).unwrap();
            assert_eq!(device.content()[0], 2, "seed {seed}");
            device.settle().unwrap();
            assert_eq!(device.content()[512], 3);
        }
    }

    #[test]
    fn nothing_works_while_the_power_is_off() {
        let power = Power::steady();
        let device = device(&power, 1);
        power.cut_at(1);
        assert!(device.write(ByteOffset(0), &[5; 512]).is_err());
        assert!(device.sync().is_err());
        assert!(device.read(ByteOffset(0), &mut [0; 512]).is_err());
        device.power_cut();
        power.restore();
        device.sync().unwrap();
        assert_eq!(power.labels(), ["device write", "device sync"]);
    }
}

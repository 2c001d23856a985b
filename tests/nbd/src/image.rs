//! An image whose cache is lost with the power.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cut::Cut;

/// What a disk writes whole or not at all, bytes.
pub(crate) const SECTOR: usize = 512;
const ZEROES: [u8; SECTOR] = [0; SECTOR];

/// A raw image file, and in memory what was written to it since the last flush.
///
/// Readers see what was written; the file holds what was flushed. (That the file is in the page
/// cache of this host does not matter: it is the guest's power that is cut, not the host's.)
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: File,
    size: u64,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Writes so far; the next has the next number.
    writes: u64,
    /// What was written to each sector since the last flush, oldest first; never empty.
    unflushed: BTreeMap<u64, Vec<Version>>,
}

/// What one write made of one sector.
#[derive(Clone, Debug)]
struct Version {
    write: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Zeroes,
    /// The sector at this place of what was written.
    Part(Arc<[u8]>, usize),
}

/// What a power cut made of the sectors that were not flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survivors {
    /// Sectors that hold the last thing that was written to them.
    pub newest: u64,
    /// Sectors that hold something that was overwritten in the cache.
    pub older: u64,
    /// Sectors that are as they were at the last flush.
    pub lost: u64,
}

impl Image {
    /// Opens a raw image; its size must be a multiple of 512 bytes.
    ///
    /// # Errors
    ///
    /// Whatever opening says, and [`io::ErrorKind::InvalidInput`] for another size.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        if !size.is_multiple_of(SECTOR as u64) {
            let words = format!("{}: {size} bytes are no number of sectors", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            cache: Mutex::default(),
        })
    }

    /// The file, which holds what is durable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads what was written last, flushed or not.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the range is not of whole sectors of this disk; whatever
    /// reading the file says.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let sectors = self.sectors(offset, buffer.len() as u64)?;
        let cache = self.lock();
        self.file.read_exact_at(buffer, offset)?;
        for (sector, versions) in cache.unflushed.range(sectors.clone()) {
            if let Some(version) = versions.last() {
                let place = (sector - sectors.start) as usize * SECTOR;
                buffer[place..place + SECTOR].copy_from_slice(version.content.bytes());
            }
        }
        Ok(())
    }

    /// Writes to the cache; if `durable`, to the file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> io::Result<()> {
        let len = data.len() as u64;
        let data: Arc<[u8]> = data.into();
        self.change(offset, len, durable, |place| {
            Content::Part(Arc::clone(&data), place)
        })
    }

    /// Writes zeroes, otherwise as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn zero(&self, offset: u64, len: u64, durable: bool) -> io::Result<()> {
        self.change(offset, len, durable, |_| Content::Zeroes)
    }

    /// Makes everything durable that was written before.
    ///
    /// # Errors
    ///
    /// Whatever writing to the file says; everything is still in the cache then.
    pub fn flush(&self) -> io::Result<()> {
        let cache = &mut *self.lock();
        let newest = cache.unflushed.iter().filter_map(|(sector, versions)| {
            let version = versions.last()?;
            Some((*sector, &version.content))
        });
        self.store(newest)?;
        cache.unflushed.clear();
        Ok(())
    }

    /// Loses what a power cut makes it lose; the rest is durable then.
    ///
    /// # Errors
    ///
    /// Whatever writing to the file says; what survives is in the cache no longer, either.
    pub fn power_cut(&self, cut: Cut) -> io::Result<Survivors> {
        let cache = &mut *self.lock();
        let unflushed = std::mem::take(&mut cache.unflushed);
        let mut judge = cut.judge(cache.writes);
        let mut survivors = Survivors::default();
        let mut kept = Vec::new();
        for (sector, versions) in &unflushed {
            let writes: Vec<u64> = versions.iter().map(|version| version.write).collect();
            match judge.survivor(&writes) {
                None => survivors.lost += 1,
                Some(place) => {
                    if place + 1 == versions.len() {
                        survivors.newest += 1;
                    } else {
                        survivors.older += 1;
                    }
                    kept.push((*sector, &versions[place].content));
                }
            }
        }
        self.store(kept)?;
        Ok(survivors)
    }

    fn change(
        &self,
        offset: u64,
        len: u64,
        durable: bool,
        content: impl Fn(usize) -> Content,
    ) -> io::Result<()> {
        let sectors = self.sectors(offset, len)?;
        let cache = &mut *self.lock();
        let parts = || {
            let places = (0..).map(|index| content(index * SECTOR));
            sectors.clone().zip(places)
        };
        if durable {
            let parts: Vec<_> = parts().collect();
            self.store(parts.iter().map(|(sector, content)| (*sector, content)))?;
            // what was there before can't come back over it
            for sector in sectors {
                cache.unflushed.remove(&sector);
            }
            return Ok(());
        }
        cache.writes += 1;
        let write = cache.writes;
        for (sector, content) in parts() {
            let versions = cache.unflushed.entry(sector).or_default();
            versions.push(Version { write, content });
        }
        Ok(())
    }

    /// Writes sectors, in ascending order, to the file; neighbours together.
    fn store<'a>(&self, sectors: impl IntoIterator<Item = (u64, &'a Content)>) -> io::Result<()> {
        const RUN: usize = 1 << 20;
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (sector, content) in sectors {
            let end = start + run.len() as u64;
            if end != sector * SECTOR as u64 || run.len() >= RUN {
                self.file.write_all_at(&run, start)?;
                run.clear();
                start = sector * SECTOR as u64;
            }
            run.extend_from_slice(content.bytes());
        }
        self.file.write_all_at(&run, start)
    }

    /// The numbers of the sectors of a range.
    fn sectors(&self, offset: u64, len: u64) -> io::Result<std::ops::Range<u64>> {
        let sector = SECTOR as u64;
        let fits = offset.is_multiple_of(sector)
            && len.is_multiple_of(sector)
            && offset.checked_add(len).is_some_and(|end| end <= self.size);
        match fits {
            true => Ok(offset / sector..(offset + len) / sector),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes at {offset} of a disk of {}", self.size),
            )),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Zeroes => &ZEROES,
            Self::Part(data, place) => &data[*place..*place + SECTOR],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    const SIZE: usize = 16 * SECTOR;

    struct Disk {
        image: Image,
        _folder: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("disk");
            std::fs::write(&path, [0; SIZE]).expect("room");
            Self {
                image: Image::open(&path).expect("a disk"),
                _folder: folder,
            }
        }

        fn write(&self, sector: u64, sectors: usize, byte: u8) {
            let data = vec![byte; sectors * SECTOR];
            let done = self.image.write(sector * SECTOR as u64, data, false);
            done.expect("in range");
        }

        /// The first byte of each sector as a reader sees it.
        fn seen(&self) -> Vec<u8> {
            let mut bytes = vec![0; SIZE];
            self.image.read(0, &mut bytes).expect("in range");
            let (sectors, _) = bytes.as_chunks::<SECTOR>();
            assert!(sectors.iter().all(|sector| sector == &[sector[0]; SECTOR]));
            sectors.iter().map(|sector| sector[0]).collect()
        }

        /// The same of what is durable.
        fn durable(&self) -> Vec<u8> {
            let bytes = std::fs::read(self.image.path()).expect("the file");
            bytes.into_iter().step_by(SECTOR).collect()
        }
    }

    #[test]
    fn what_is_written_is_read_at_once_and_durable_when_flushed() {
        let disk = Disk::new();
        disk.write(1, 3, 7);
        disk.write(2, 1, 8);
        assert_eq!(disk.seen()[..5], [0, 7, 8, 7, 0]);
        assert_eq!(disk.durable()[..5], [0; 5]);
        disk.image.flush().expect("room");
        assert_eq!(disk.durable()[..5], [0, 7, 8, 7, 0]);
        disk.image.zero(512, 1024, false).expect("in range");
        assert_eq!(disk.seen()[..5], [0, 0, 0, 7, 0]);
        let survivors = disk.image.power_cut(Cut::LosesAll).expect("room");
        assert_eq!(survivors.lost, 2);
        assert_eq!(disk.seen()[..5], [0, 7, 8, 7, 0]);
    }

    #[test]
    fn a_durable_write_outlives_the_cut_and_what_was_written_before_it() {
        for seed in 0..32 {
            let disk = Disk::new();
            disk.write(0, 2, 1);
            let durable = disk.image.write(SECTOR as u64, vec![2; SECTOR], true);
            durable.expect("in range");
            disk.image.power_cut(Cut::Sectors(seed)).expect("room");
            assert_eq!(disk.seen()[1], 2);
        }
    }

    #[test]
    fn each_sector_keeps_any_of_its_versions_and_no_other() {
        let mut ends = BTreeSet::new();
        for seed in 0..200 {
            let disk = Disk::new();
            disk.write(0, 2, 1);
            disk.image.flush().expect("room");
            disk.write(0, 2, 2);
            disk.write(0, 2, 3);
            let survivors = disk.image.power_cut(Cut::Sectors(seed)).expect("room");
            assert_eq!(survivors.newest + survivors.older + survivors.lost, 2);
            assert_eq!(disk.seen(), disk.durable(), "the cache is empty");
            ends.insert((disk.seen()[0], disk.seen()[1]));
        }
        let all: BTreeSet<_> = (1..=3).flat_map(|a| (1..=3).map(move |b| (a, b))).collect();
        assert_eq!(ends, all);
    }

    #[test]
    fn whole_writes_survive_out_of_order() {
        let mut ends = BTreeSet::new();
        for seed in 0..200 {
            let disk = Disk::new();
            disk.write(0, 4, 1);
            disk.write(4, 4, 2);
            disk.image.power_cut(Cut::Writes(seed)).expect("room");
            let seen = disk.seen();
            assert!(seen[..4] == [seen[0]; 4] && seen[4..8] == [seen[4]; 4]);
            ends.insert((seen[0], seen[4]));
        }
        let all: BTreeSet<_> = [(0, 0), (0, 2), (1, 0), (1, 2)].into();
        assert_eq!(ends, all);
    }

    #[test]
    fn the_same_requests_and_the_same_seed_leave_the_same() {
        let run = |seed| {
            let disk = Disk::new();
            let mut rng = Rng::new(seed);
            for byte in 1..40 {
                disk.write(rng.below(12), 1 + rng.below(4) as usize, byte);
                if rng.chance(10) {
                    disk.image.flush().expect("room");
                }
            }
            disk.image.power_cut(Cut::random(&mut rng)).expect("room");
            disk.seen()
        };
        for seed in 0..20 {
            assert_eq!(run(seed), run(seed));
        }
    }

    #[test]
    fn only_whole_sectors_of_the_disk() {
        let disk = Disk::new();
        let write = |offset, len| disk.image.write(offset, vec![0; len], false);
        assert!(write(1, SECTOR).is_err());
        assert!(write(0, SECTOR + 1).is_err());
        assert!(write(SIZE as u64, SECTOR).is_err());
        assert!(disk.image.zero(u64::MAX - 511, 512, false).is_err());
    }
}

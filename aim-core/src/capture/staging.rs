//! Staging memory: a mapped file on tmpfs in which payloads land, cut into chunks.
//!
//! ```text
//! ring file:  | header page | record table (64 B each) | chunk 0 | chunk 1 | ... |
//! ```
//!
//! A front end holds one chunk per request that it can have in flight and fills it from the
//! front, payload after payload. A chunk is shared between its holder, who owns the bytes behind
//! the last admitted payload, and the drain, which reads the admitted ones. It is free again when
//! neither has a use for it. What lies in the file outlives the process, so that a successor can
//! drain it; it does not outlive the machine.

use std::io;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use super::mapped_ring::{MappedRing, Owner, PAGE};
use super::record::RECORD_BYTES;
use crate::intercept::{Landing, LandingWait, Memory};
use crate::units::VolumeId;

/// How much staging memory a volume has, and where.
#[derive(Clone, Debug)]
pub struct StagingConfig {
    /// The ring file, on tmpfs; `None` for anonymous memory, which no successor can drain.
    pub path: Option<PathBuf>,
    /// Size of the largest payload in bytes.
    pub request_bytes_max: usize,
    /// Requests that can be in flight at once: landings that the front end keeps.
    pub landings: usize,
    /// Further chunks, for what waits to be drained.
    pub spare_chunks: usize,
    /// Transactions that may wait to be drained; a power of two.
    pub records: usize,
}

impl StagingConfig {
    /// Room for `landings` requests in flight of up to `request_bytes_max` bytes each, without a
    /// ring file.
    pub fn anonymous(landings: usize, request_bytes_max: usize) -> Self {
        Self {
            path: None,
            request_bytes_max,
            landings,
            spare_chunks: landings,
            records: 16384,
        }
    }

    /// Bytes of one chunk: two of the largest payloads, so that small ones share it.
    fn chunk_bytes(&self) -> usize {
        (2 * self.request_bytes_max).next_multiple_of(PAGE)
    }

    fn chunks(&self) -> usize {
        self.landings + self.spare_chunks
    }

    fn table_bytes(&self) -> usize {
        (self.records * RECORD_BYTES).next_multiple_of(PAGE)
    }

    /// Bytes of memory that the ring takes.
    pub fn total_bytes(&self) -> usize {
        PAGE + self.table_bytes() + self.chunks() * self.chunk_bytes()
    }
}

/// The mapped ring.
#[derive(Debug)]
pub(super) struct Staging {
    ring: MappedRing,
    config: StagingConfig,
    /// Per chunk: admitted payloads not yet drained, plus one while a landing holds it.
    uses: Vec<AtomicU32>,
    pool: Mutex<Pool>,
}

#[derive(Debug)]
struct Pool {
    free: Vec<u32>,
    waiting: Vec<Waker>,
}

impl Staging {
    /// Maps the ring. The flag tells whether a ring file of this volume, these sizes and this
    /// boot of the machine was there, with the records of a predecessor in it.
    pub(super) fn open(config: StagingConfig, volume: VolumeId) -> io::Result<(Self, bool)> {
        assert!(
            config.records.is_power_of_two(),
            "{} records",
            config.records
        );
        let ring = MappedRing::open(config.path.as_deref(), config.total_bytes())?;
        let chunks = config.chunks();
        let owner = Owner {
            volume,
            sizes: [config.records, chunks, config.chunk_bytes()],
        };
        let existing = ring.adopt(&owner, PAGE + config.table_bytes());
        let staging = Self {
            ring,
            uses: (0..chunks).map(|_| AtomicU32::new(0)).collect(),
            pool: Mutex::new(Pool {
                free: (0..chunks as u32).rev().collect(),
                waiting: Vec::new(),
            }),
            config,
        };
        Ok((staging, existing))
    }

    /// Set while transactions are not captured: the extent map alone tells then what happened,
    /// and a successor must not rely on the ring.
    pub(super) fn is_tracking(&self) -> &AtomicU32 {
        self.ring.is_tracking()
    }

    pub(super) fn config(&self) -> &StagingConfig {
        &self.config
    }

    /// All of the mapping. It keeps its pages: nobody cuts the file while it is mapped.
    pub(super) fn memory(&self) -> Memory {
        self.ring.memory()
    }

    /// Removes the ring file: everything in it is in the journal.
    pub(super) fn remove_file(&self) -> io::Result<()> {
        self.config
            .path
            .as_ref()
            .map_or(Ok(()), std::fs::remove_file)
    }

    /// Start of the record table and the number of its records.
    pub(super) fn table(&self) -> (NonNull<u8>, usize) {
        // SAFETY: the table starts at the second page of the mapping.
        (unsafe { self.ring.start().add(PAGE) }, self.config.records)
    }

    /// See [`Interceptor::landing`](crate::intercept::Interceptor::landing).
    pub(super) fn landing(
        &self,
        previous: Option<Landing>,
        capacity: usize,
        waker: &Waker,
    ) -> Result<Landing, LandingWait> {
        assert!(
            capacity <= self.config.request_bytes_max,
            "a landing of {capacity} bytes, at most {} are configured",
            self.config.request_bytes_max
        );
        if let Some(landing) = previous {
            let chunk = landing.token() as u32;
            // only the holder adds payloads, so a count of one stays one until we return
            if self.uses[chunk as usize].load(Ordering::Acquire) == 1 {
                return Ok(self.chunk_landing(chunk));
            }
            if landing.capacity() >= capacity {
                return Ok(landing);
            }
            let fresh = self.take_chunk(waker);
            return match fresh {
                Some(fresh) => {
                    self.release(chunk);
                    Ok(self.chunk_landing(fresh))
                }
                // the drain may have finished with our own chunk before the waker was kept
                None if self.uses[chunk as usize].load(Ordering::Acquire) == 1 => {
                    Ok(self.chunk_landing(chunk))
                }
                None => Err(LandingWait(Some(landing))),
            };
        }
        match self.take_chunk(waker) {
            Some(chunk) => Ok(self.chunk_landing(chunk)),
            None => Err(LandingWait(None)),
        }
    }

    /// Notes an admitted payload of `len` bytes at the start of `landing`; returns its place in
    /// the ring, in bytes from its start.
    pub(super) fn freeze(&self, landing: &mut Landing, len: usize) -> u64 {
        let place = landing.address().as_ptr() as usize - self.ring.start().as_ptr() as usize;
        self.uses[landing.token() as usize].fetch_add(1, Ordering::AcqRel);
        landing.advance(len);
        place as u64
    }

    /// The bytes of an admitted payload.
    ///
    /// # Safety
    ///
    /// The payload must have been frozen and not thawed yet.
    pub(super) unsafe fn payload(&self, place: u64, len: usize) -> &[u8] {
        let (place, end) = (place as usize, place as usize + len);
        assert!(
            end <= self.config.total_bytes(),
            "payload at {place}..{end} in the ring"
        );
        // SAFETY: inside the mapping; frozen bytes have no other writer, by the contract of
        // `Interceptor::admit`.
        unsafe { std::slice::from_raw_parts(self.ring.start().as_ptr().add(place), len) }
    }

    /// Says that an admitted payload is in the journal: its bytes may be used again.
    pub(super) fn thaw(&self, place: u64) {
        let chunks = place as usize - PAGE - self.config.table_bytes();
        self.release((chunks / self.config.chunk_bytes()) as u32);
    }

    /// Wakes those who wait for room; called by the drain after a batch of `thaw`.
    pub(super) fn wake_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn take_chunk(&self, waker: &Waker) -> Option<u32> {
        let mut pool = self.lock();
        let chunk = pool.free.pop();
        match chunk {
            Some(chunk) => self.uses[chunk as usize].store(1, Ordering::Release),
            None => pool.waiting.push(waker.clone()),
        }
        chunk
    }

    fn release(&self, chunk: u32) {
        if self.uses[chunk as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.lock().free.push(chunk);
        }
    }

    fn chunk_landing(&self, chunk: u32) -> Landing {
        let bytes = self.config.chunk_bytes();
        let place = PAGE + self.config.table_bytes() + chunk as usize * bytes;
        // SAFETY: the chunk lies inside the mapping, which began as zeroes and lives as long as the
        // interceptor. The caller has just become its only holder and no admitted payload is left
        // in it, so nobody else uses its bytes.
        unsafe { Landing::new(self.ring.start().add(place), bytes, u64::from(chunk)) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::*;

    fn staging(landings: usize, spare_chunks: usize) -> Staging {
        let config = StagingConfig {
            spare_chunks,
            records: 16,
            ..StagingConfig::anonymous(landings, 4096)
        };
        Staging::open(config, VolumeId::generate()).unwrap().0
    }

    #[test]
    fn payloads_of_one_landing_lie_back_to_back() {
        let staging = staging(1, 0);
        let waker = Waker::noop();
        let mut landing = staging.landing(None, 4096, waker).unwrap();
        landing.as_mut_slice()[..512].fill(7);
        let first = staging.freeze(&mut landing, 512);
        let mut landing = staging.landing(Some(landing), 4096, waker).unwrap();
        let second = staging.freeze(&mut landing, 512);
        assert_eq!(second, first + 512);
        // SAFETY: frozen above and not thawed.
        assert_eq!(unsafe { staging.payload(first, 512) }, [7; 512]);
    }

    #[test]
    fn a_full_chunk_waits_until_the_drain_is_done_with_it() {
        let staging = staging(1, 0);
        let waker = Waker::noop();
        let mut landing = staging.landing(None, 4096, waker).unwrap();
        let place = staging.freeze(&mut landing, 4096);
        let mut landing = staging.landing(Some(landing), 4096, waker).unwrap();
        let second = staging.freeze(&mut landing, 4096);
        let Err(LandingWait(Some(landing))) = staging.landing(Some(landing), 4096, waker) else {
            panic!("no chunk can be free");
        };
        staging.thaw(place);
        staging.thaw(second);
        let landing = staging.landing(Some(landing), 4096, waker).unwrap();
        assert_eq!(landing.capacity(), 8192);
    }

    #[test]
    fn a_retired_chunk_goes_round() {
        let staging = staging(1, 1);
        let waker = Waker::noop();
        let mut landing = staging.landing(None, 4096, waker).unwrap();
        let first_chunk = landing.token();
        let places = [4096, 4096].map(|len| staging.freeze(&mut landing, len));
        let mut landing = staging.landing(Some(landing), 4096, waker).unwrap();
        assert_ne!(landing.token(), first_chunk);
        places.into_iter().for_each(|place| staging.thaw(place));
        staging.freeze(&mut landing, 8192);
        let landing = staging.landing(Some(landing), 4096, waker).unwrap();
        assert_eq!(landing.token(), first_chunk);
    }

    fn in_file(folder: &Path) -> StagingConfig {
        StagingConfig {
            path: Some(folder.join("ring")),
            records: 16,
            ..StagingConfig::anonymous(1, 4096)
        }
    }

    #[test]
    fn a_ring_file_has_its_memory_before_it_is_used() {
        let temp = tempfile::tempdir().unwrap();
        let config = in_file(temp.path());
        let total = config.total_bytes() as u64;
        let staging = Staging::open(config, VolumeId::generate()).unwrap().0;
        let file = std::fs::metadata(temp.path().join("ring")).unwrap();
        assert!(file.blocks() * 512 >= total, "{} blocks", file.blocks());
        drop(staging);
    }

    #[test]
    fn a_ring_file_is_adopted_only_by_its_own_volume() {
        let temp = tempfile::tempdir().unwrap();
        let config = in_file(temp.path());
        let volume = VolumeId::generate();
        assert!(!Staging::open(config.clone(), volume).unwrap().1);
        assert!(Staging::open(config.clone(), volume).unwrap().1);
        assert!(!Staging::open(config, VolumeId::generate()).unwrap().1);
    }
}

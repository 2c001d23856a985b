//! Histograms of times, cheap enough for the way of each request.
//!
//! A bucket is as wide as a sixteenth of the power of two that it lies in. So a percentile is
//! never below what was measured, and above it by at most a sixteenth.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per power of two, as a power of two.
const PRECISION: u32 = 4;
const PER_OCTAVE: usize = 1 << PRECISION;
/// Times from 2^40 ns (18 minutes) on share the last bucket.
const OCTAVES: u32 = 40;
const BUCKETS: usize = (OCTAVES - PRECISION + 1) as usize * PER_OCTAVE;

/// What one thread measures; [`Reader`]s see it while it goes on.
///
/// There is one writer, so it needs no atomic read-modify-write; it can change threads, and
/// can't be shared by some.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    one_thread: PhantomData<Cell<()>>,
}

/// Sees what a [`Recorder`] has measured so far, from any thread.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    buckets: [AtomicU64; BUCKETS],
    /// In nanoseconds.
    sum: AtomicU64,
    /// In nanoseconds.
    max: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                buckets: [const { AtomicU64::new(0) }; BUCKETS],
                sum: AtomicU64::new(0),
                max: AtomicU64::new(0),
            }),
            one_thread: PhantomData,
        }
    }
}

impl Recorder {
    /// Takes in one time, in nanoseconds.
    pub fn record(&self, nanos: u64) {
        let shared = &*self.shared;
        add(&shared.buckets[bucket_of(nanos)], 1);
        add(&shared.sum, nanos);
        if nanos > shared.max.load(Ordering::Relaxed) {
            shared.max.store(nanos, Ordering::Relaxed);
        }
    }

    /// Another pair of eyes on it.
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.shared))
    }
}

/// Adds to a number that nobody else writes.
fn add(to: &AtomicU64, number: u64) {
    to.store(
        to.load(Ordering::Relaxed).wrapping_add(number),
        Ordering::Relaxed,
    );
}

impl Reader {
    /// What was measured so far. A time that is being recorded may be in a part of it.
    pub fn snapshot(&self) -> Snapshot {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Snapshot {
            buckets: self.0.buckets.iter().map(load).collect(),
            sum: load(&self.0.sum),
            max: load(&self.0.max),
        }
    }
}

/// What was measured up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    buckets: Box<[u64]>,
    sum: u64,
    max: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            sum: 0,
            max: 0,
        }
    }
}

impl Snapshot {
    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// What `share` of the times (0 to 1) are not above: at most a sixteenth more than the least
    /// such time. `None` where nothing was recorded.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
        let mut below = 0;
        let found = self.buckets.iter().position(|times| {
            below += times;
            below >= rank
        });
        let nanos = match found {
            Some(bucket) if bucket < BUCKETS - 1 => last_of(bucket).min(self.max),
            _ => self.max,
        };
        Some(Duration::from_nanos(nanos))
    }

    /// Takes in what another one has.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }
}

fn bucket_of(nanos: u64) -> usize {
    if nanos < PER_OCTAVE as u64 {
        return nanos as usize;
    }
    let octave = nanos.ilog2();
    let within = (nanos >> (octave - PRECISION)) as usize & (PER_OCTAVE - 1);
    let bucket = (octave - PRECISION + 1) as usize * PER_OCTAVE + within;
    bucket.min(BUCKETS - 1)
}

/// The longest time in a bucket, in nanoseconds.
fn last_of(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let (octave, within) = (bucket / PER_OCTAVE - 1, bucket % PER_OCTAVE);
    (((PER_OCTAVE + within + 1) as u64) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Snapshot {
        let recorder = Recorder::default();
        for nanos in times {
            recorder.record(nanos);
        }
        recorder.reader().snapshot()
    }

    #[test]
    fn each_time_is_in_a_bucket_that_ends_at_most_a_sixteenth_behind_it() {
        let mut before = 0;
        let near = |power: u32| [-1, 0, 1].map(|by| (1_u64 << power).saturating_add_signed(by));
        for nanos in (0..5000)
            .chain((13..OCTAVES).flat_map(near))
            .chain([3 << 38])
        {
            if nanos >= 1 << OCTAVES {
                continue;
            }
            let bucket = bucket_of(nanos);
            assert!(bucket >= before, "{nanos}");
            before = bucket;
            let last = last_of(bucket);
            assert!(
                last >= nanos && last - nanos <= nanos / 16,
                "{nanos}: {last}"
            );
            assert_eq!(bucket_of(last), bucket, "{nanos}");
            assert!(
                bucket == BUCKETS - 1 || bucket_of(last + 1) == bucket + 1,
                "{nanos}"
            );
        }
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        assert_eq!(of([]).percentile(0.5), None);
        let snapshot = of(1..=1000);
        assert_eq!(snapshot.count(), 1000);
        assert_eq!(snapshot.sum(), Duration::from_nanos(500_500));
        assert_eq!(snapshot.max(), Duration::from_nanos(1000));
        for (share, exact) in [(0.0, 1), (0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            let found = snapshot.percentile(share).unwrap().as_nanos();
            assert!(
                (exact..=exact + exact / 16).contains(&found),
                "{share}: {found}"
            );
        }
        assert_eq!(of([7]).percentile(0.99), Some(Duration::from_nanos(7)));
    }

    #[test]
    fn the_longest_is_exact_however_long() {
        let snapshot = of([1, u64::MAX]);
        assert_eq!(
            snapshot.percentile(1.0),
            Some(Duration::from_nanos(u64::MAX))
        );
    }

    #[test]
    fn merged_is_as_if_recorded_together() {
        let mut merged = of([1, 20, 300]);
        merged.merge(&of([4000, 50_000]));
        assert_eq!(merged, of([1, 20, 300, 4000, 50_000]));
    }
}

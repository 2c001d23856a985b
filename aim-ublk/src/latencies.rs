//! How long requests take, and where.

use aim_core::latency::{Reader, Recorder, Snapshot};
use aim_core::request::Operation;

/// Requests that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Reads.
    Read,
    /// Writes, with and without FUA.
    Write,
    /// Flushes.
    Flush,
    /// Discards, and writes of zeroes.
    Zero,
}

impl RequestKind {
    /// All kinds, in the order of their places in [`Latencies`].
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Flush, Self::Zero];

    pub(crate) const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Read => Self::Read,
            Operation::Write => Self::Write,
            Operation::Flush => Self::Flush,
            Operation::Discard | Operation::WriteZeroes { .. } => Self::Zero,
        }
    }
}

/// What a device has measured since it was started by this process.
///
/// A queue's thread looks at the clock once for all that comes to it together, so a time shorter
/// than a turn of its work may be nothing.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From when a request was fetched until its result was given to the kernel, by kind.
    pub request: [Snapshot; 4],
    /// What the disk took of that, by the kind of the request.
    pub disk: [Snapshot; 4],
    /// How long flushes, and writes with FUA, waited for the journal when the disk was done.
    pub journal: Snapshot,
}

/// Reads what a device measures, from any thread, also after its end.
#[derive(Clone, Debug)]
pub struct LatencyReader {
    threads: Vec<Histograms<Reader>>,
}

impl LatencyReader {
    /// What all threads have measured so far.
    pub fn read(&self) -> Latencies {
        let mut all = Latencies::default();
        for thread in &self.threads {
            let of = |into: &mut [Snapshot; 4], from: &[Reader; 4]| {
                for (into, from) in into.iter_mut().zip(from) {
                    into.merge(&from.snapshot());
                }
            };
            of(&mut all.request, &thread.request);
            of(&mut all.disk, &thread.disk);
            all.journal.merge(&thread.journal.snapshot());
        }
        all
    }
}

/// The histograms of a thread.
#[derive(Clone, Debug, Default)]
struct Histograms<T> {
    request: [T; 4],
    disk: [T; 4],
    journal: T,
}

/// What a queue's thread measures.
#[derive(Debug, Default)]
pub(crate) struct Recorders(Histograms<Recorder>);

impl Recorders {
    /// A request was answered after so many nanoseconds.
    pub(crate) fn request(&self, kind: RequestKind, nanos: u64) {
        self.0.request[kind as usize].record(nanos);
    }

    /// The disk was done with a request after so many nanoseconds.
    pub(crate) fn disk(&self, kind: RequestKind, nanos: u64) {
        self.0.disk[kind as usize].record(nanos);
    }

    /// The journal was durable after a wait of so many nanoseconds.
    pub(crate) fn journal(&self, nanos: u64) {
        self.0.journal.record(nanos);
    }

    /// What reads all of `recorders`.
    pub(crate) fn reader<'a>(recorders: impl IntoIterator<Item = &'a Self>) -> LatencyReader {
        let of = |Self(thread): &Self| Histograms {
            request: thread.request.each_ref().map(Recorder::reader),
            disk: thread.disk.each_ref().map(Recorder::reader),
            journal: thread.journal.reader(),
        };
        LatencyReader {
            threads: recorders.into_iter().map(of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_threads_and_kinds_are_told_apart_and_together() {
        let threads = [Recorders::default(), Recorders::default()];
        let reader = Recorders::reader(&threads);
        for (nanos, kind) in (1..).zip(RequestKind::ALL) {
            threads[0].request(kind, nanos);
            threads[1].request(kind, nanos);
            threads[1].disk(kind, 10 * nanos);
        }
        threads[0].journal(7);
        let read = reader.read();
        for (nanos, kind) in (1..).zip(RequestKind::ALL) {
            let (request, disk) = (&read.request[kind as usize], &read.disk[kind as usize]);
            assert_eq!(request.count(), 2);
            assert_eq!(request.sum(), Duration::from_nanos(2 * nanos));
            assert_eq!(disk.count(), 1);
            assert_eq!(disk.sum(), Duration::from_nanos(10 * nanos));
        }
        assert_eq!(read.journal.max(), Duration::from_nanos(7));
    }
}

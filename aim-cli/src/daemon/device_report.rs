//! What a volume's device says of itself: how it serves, and how long requests take.

use aim_core::latency::Snapshot;
use aim_ublk::{Latencies, LatencyReader, ReadPath, RunningDevice};
use serde::{Deserialize, Serialize};

/// How a device serves, and how long its requests take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeviceReport {
    /// `copy` or `zero-copy`: what the kernel made of what is configured.
    pub(crate) read_path: String,
    pub(crate) queues: u16,
    pub(crate) threads_per_queue: u16,
    /// From when a request was fetched until it was answered.
    pub(crate) request: ByKind,
    /// What the disk took of that.
    pub(crate) disk: ByKind,
    /// How long flushes, and writes with FUA, waited for the journal when the disk was done.
    pub(crate) journal: LatencyReport,
}

/// Since the start of the program, by what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ByKind {
    pub(crate) read: LatencyReport,
    pub(crate) write: LatencyReport,
    pub(crate) flush: LatencyReport,
    /// Discards, and writes of zeroes.
    pub(crate) zero: LatencyReport,
}

/// How many there were, and how long they took; the times are unknown where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencyReport {
    pub(crate) count: u64,
    pub(crate) sum_seconds: f64,
    pub(crate) median_seconds: Option<f64>,
    pub(crate) p90_seconds: Option<f64>,
    pub(crate) p99_seconds: Option<f64>,
    pub(crate) p999_seconds: Option<f64>,
    pub(crate) max_seconds: Option<f64>,
}

/// What is asked for its report, also when the device itself is in other hands.
#[derive(Debug)]
pub(super) struct DeviceWatch {
    read_path: ReadPath,
    queues: u16,
    threads_per_queue: u16,
    latencies: LatencyReader,
}

impl DeviceWatch {
    /// Watches `device`.
    pub(super) fn of(device: &RunningDevice) -> Self {
        Self {
            read_path: device.read_path(),
            queues: device.queues(),
            threads_per_queue: device.threads_per_queue(),
            latencies: device.latencies(),
        }
    }

    /// How it is.
    pub(super) fn report(&self) -> DeviceReport {
        let Latencies {
            request,
            disk,
            journal,
        } = self.latencies.read();
        DeviceReport {
            read_path: match self.read_path {
                ReadPath::Copy => "copy",
                ReadPath::ZeroCopy => "zero-copy",
            }
            .to_owned(),
            queues: self.queues,
            threads_per_queue: self.threads_per_queue,
            request: ByKind::from(&request),
            disk: ByKind::from(&disk),
            journal: LatencyReport::from(&journal),
        }
    }
}

impl ByKind {
    /// With the names of its parts.
    pub(crate) fn named(&self) -> [(&'static str, &LatencyReport); 4] {
        [
            ("read", &self.read),
            ("write", &self.write),
            ("flush", &self.flush),
            ("zero", &self.zero),
        ]
    }
}

impl From<&[Snapshot; 4]> for ByKind {
    /// In the order of `RequestKind::ALL`.
    fn from(snapshots: &[Snapshot; 4]) -> Self {
        let [read, write, flush, zero] = snapshots.each_ref().map(LatencyReport::from);
        Self {
            read,
            write,
            flush,
            zero,
        }
    }
}

impl From<&Snapshot> for LatencyReport {
    fn from(snapshot: &Snapshot) -> Self {
        let percentile = |share| snapshot.percentile(share).map(|time| time.as_secs_f64());
        let count = snapshot.count();
        Self {
            count,
            sum_seconds: snapshot.sum().as_secs_f64(),
            median_seconds: percentile(0.5),
            p90_seconds: percentile(0.9),
            p99_seconds: percentile(0.99),
            p999_seconds: percentile(0.999),
            max_seconds: (count > 0).then(|| snapshot.max().as_secs_f64()),
        }
    }
}

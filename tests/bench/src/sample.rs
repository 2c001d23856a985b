//! What was found.

use serde::{Deserialize, Serialize};

/// One run of one job on one subject.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// From 0.
    pub round: usize,
    /// [`Subject::name`](crate::Subject::name).
    pub subject: String,
    /// [`Job::name`](crate::Job::name).
    pub job: String,
    /// Reads and writes that were done; syncs don't count.
    pub ios: u64,
    /// Writes among them.
    pub writes: u64,
    /// How long they took by the guest's clock, all threads side by side, in milliseconds.
    pub milliseconds: u64,
}

impl Sample {
    /// Reads and writes per second of the guest's clock.
    #[must_use]
    pub fn iops(&self) -> f64 {
        1e3 * self.ios as f64 / self.milliseconds as f64
    }

    /// Nanoseconds of the guest's clock per read or write. Where it counts instructions that is their
    /// number.
    #[must_use]
    pub fn cost(&self) -> f64 {
        1e9 / self.iops()
    }
}

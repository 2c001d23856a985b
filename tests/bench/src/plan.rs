//! What is to be measured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that a guest has to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// The program `aim`.
    pub aim: PathBuf,
    /// The program `plain_loop`.
    pub plain_loop: PathBuf,
    /// Set if the disks below are RAM disks that have to be made.
    pub ram_disks: Option<RamDisks>,
    /// A disk that is first divided into two partitions, [`Plan::disk`] and
    /// [`Plan::journal_disk`], and the MiB of the first.
    pub divided: Option<(PathBuf, u64)>,
    /// The disk that is written to and read from.
    pub disk: PathBuf,
    /// The disk for journals and logs.
    pub journal_disk: PathBuf,
    /// Queues of a ublk device.
    pub queues: u16,
    /// Requests in flight per queue.
    pub depth: u16,
    /// Largest request in bytes.
    pub request_bytes: u32,
    /// How often every subject has its turn; the order is the opposite every other round.
    pub rounds: usize,
    /// What is measured.
    pub subjects: Vec<Subject>,
    /// By what.
    pub jobs: Vec<Job>,
}

/// Sizes of RAM disks.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct RamDisks {
    /// MiB of [`Plan::disk`].
    pub disk_mib: u64,
    /// MiB of [`Plan::journal_disk`].
    pub journal_mib: u64,
}

/// A device, and what it is called.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Subject {
    /// Its name in [`Sample::subject`](crate::Sample::subject).
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a device can be.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The disk itself.
    Raw,
    /// A ublk device of libublk that does nothing besides.
    PlainLoop {
        /// The disk gets the request's own memory; else the driver copies.
        zero_copy: bool,
        /// Further words for the program.
        words: Vec<String>,
    },
    /// `aim run`, capturing, sealing and shipping nothing.
    Aim {
        /// Further lines of the volume's table.
        lines: Vec<String>,
    },
    /// The target `log-writes` of the device mapper, its log on the journal disk.
    LogWrites,
    /// DRBD 8.4, protocol A, its peer on the journal disk of the same machine.
    Drbd,
}

/// A job of fio.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    /// Its name in [`Sample::job`](crate::Sample::job).
    pub name: String,
    /// fio's words, but for the name, the file, and how it reports.
    pub words: Vec<String>,
}

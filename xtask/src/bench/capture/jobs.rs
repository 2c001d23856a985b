//! The jobs, and what is expected of aim in them.

use aim_bench::Job;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// fio's words, but for the number of I/Os.
    words: &'static str,
    /// Reads and writes of one run, over all jobs of fio.
    ios: u64,
    /// Jobs of fio side by side.
    jobs: u64,
    /// IOPS of aim to those of the plain loop in the same mode, at least.
    pub(crate) goal: Option<f64>,
    /// Whether it counts for the one figure: the 4k writes of a single job.
    pub(crate) is_small_write: bool,
    /// Whether aim is to be ahead of dm-log-writes.
    pub(crate) ahead_of_log_writes: bool,
}

const ROW: Row = Row {
    name: "",
    words: "",
    ios: 20_000,
    jobs: 1,
    goal: None,
    is_small_write: false,
    ahead_of_log_writes: false,
};

/// All of them.
pub(crate) const ROWS: [Row; 7] = [
    Row {
        name: "4k randwrite, depth 1",
        words: "--rw=randwrite --bs=4k --ioengine=psync",
        goal: Some(0.90),
        is_small_write: true,
        ..ROW
    },
    Row {
        name: "4k randwrite, depth 32",
        words: "--rw=randwrite --bs=4k --ioengine=libaio --iodepth=32",
        goal: Some(0.85),
        is_small_write: true,
        ..ROW
    },
    Row {
        name: "4k randwrite, fdatasync",
        words: "--rw=randwrite --bs=4k --ioengine=psync --fdatasync=1",
        ios: 2_000,
        goal: Some(0.92),
        is_small_write: true,
        ..ROW
    },
    Row {
        name: "128k write, depth 8",
        words: "--rw=write --bs=128k --ioengine=libaio --iodepth=8",
        ios: 1_500,
        goal: Some(0.55),
        ahead_of_log_writes: true,
        ..ROW
    },
    Row {
        name: "4k randread, depth 32",
        words: "--rw=randread --bs=4k --ioengine=libaio --iodepth=32",
        goal: Some(0.97),
        ..ROW
    },
    Row {
        name: "4k 70/30 mix, depth 32",
        words: "--rw=randrw --rwmixread=70 --bs=4k --ioengine=libaio --iodepth=32",
        ..ROW
    },
    Row {
        name: "4k randwrite, 4 jobs",
        words: "--rw=randwrite --bs=4k --ioengine=libaio --iodepth=32 --numjobs=4 --cpus_allowed=0-3 \
                --cpus_allowed_policy=split",
        jobs: 4,
        ..ROW
    },
];

impl Row {
    /// The job with `scale` times its number of I/Os.
    ///
    /// What is written is synced in the end, so that what a device puts off is counted.
    pub(crate) fn job(&self, scale: f64) -> Job {
        let ios = (self.ios as f64 * scale) as u64 / self.jobs;
        let mut words: Vec<String> = self.words.split_whitespace().map(str::to_owned).collect();
        words.push(format!("--number_ios={}", ios.max(1)));
        words.extend(
            [
                "--size=192M",
                "--norandommap",
                "--randseed=7",
                "--end_fsync=1",
            ]
            .map(str::to_owned),
        );
        Job {
            name: self.name.to_owned(),
            words,
        }
    }
}

//! The jobs of `bench capture` and `bench disks`, and what is expected of aim in them.

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
    /// Whether it is a write that ends on the disk: what the other ways to mirror are held to.
    pub(crate) writes: bool,
    /// Whether aim is held to dm-log-writes.
    pub(crate) like_log_writes: bool,
}

const ROW: Row = Row {
    name: "",
    words: "",
    ios: 20_000,
    jobs: 1,
    goal: None,
    is_small_write: false,
    writes: true,
    like_log_writes: false,
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
        like_log_writes: true,
        ..ROW
    },
    Row {
        name: "128k write, depth 8",
        words: "--rw=write --bs=128k --ioengine=libaio --iodepth=8",
        ios: 1_500,
        goal: Some(0.55),
        like_log_writes: true,
        ..ROW
    },
    Row {
        name: "4k randread, depth 32",
        words: "--rw=randread --bs=4k --ioengine=libaio --iodepth=32",
        goal: Some(0.97),
        writes: false,
        ..ROW
    },
    Row {
        name: "4k 70/30 mix, depth 32",
        words: "--rw=randrw --rwmixread=70 --bs=4k --ioengine=libaio --iodepth=32",
        writes: false,
        ..ROW
    },
    Row {
        name: "4k randwrite, 4 jobs",
        words: "--rw=randwrite --bs=4k --ioengine=libaio --iodepth=32 --numjobs=4",
        jobs: 4,
        ..ROW
    },
];

impl Row {
    /// The job with `scale` times its number of I/Os, on the first `mib` MiB of a device.
    ///
    /// What is written is synced in the end, so that what a device puts off is counted.
    pub(crate) fn counted(&self, scale: f64, mib: u64) -> Job {
        self.with_ios((self.ios as f64 * scale) as u64, mib)
    }

    /// The job with few I/Os: as many as it takes for one of fio's milliseconds to be less than a
    /// percent of them.
    pub(crate) fn small(&self, mib: u64) -> Job {
        self.with_ios(self.ios.min(10_000), mib)
    }

    fn with_ios(&self, ios: u64, mib: u64) -> Job {
        let ios = (ios / self.jobs).max(1);
        let mut words = vec![format!("--number_ios={ios}")];
        if self.jobs > 1 {
            // one for each of the guest's processors, so that each has a queue of its own
            let last = self.jobs - 1;
            words.push(format!("--cpus_allowed=0-{last}"));
            words.push("--cpus_allowed_policy=split".to_owned());
        }
        self.job(mib, words)
    }

    /// The job for so many seconds, on the first `mib` MiB of a device.
    pub(crate) fn timed(&self, seconds: u64, mib: u64) -> Job {
        let words = ["--time_based".to_owned(), format!("--runtime={seconds}")];
        self.job(mib, words)
    }

    fn job(&self, mib: u64, more: impl IntoIterator<Item = String>) -> Job {
        let mut words: Vec<String> = self.words.split_whitespace().map(str::to_owned).collect();
        words.push(format!("--size={mib}M"));
        words.extend(["--norandommap", "--randseed=7", "--end_fsync=1"].map(str::to_owned));
        words.extend(more);
        Job {
            name: self.name.to_owned(),
            words,
        }
    }
}

/// The row of this name.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// What `--only` names: jobs, and devices. An empty list is no restriction.
#[derive(Debug)]
pub(crate) struct Only<'a> {
    jobs: Vec<&'a str>,
    devices: Vec<&'a str>,
}

impl<'a> Only<'a> {
    /// A word that is in no job's name is one of a device.
    pub(crate) fn new(words: &'a [String]) -> Self {
        let names_job = |word: &&str| ROWS.iter().any(|row| row.name.contains(*word));
        let words = words.iter().map(String::as_str);
        let (jobs, devices) = words.partition(names_job);
        Self { jobs, devices }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(|row| holds(&self.jobs, row.name))
    }

    pub(crate) fn has_device(&self, name: &str) -> bool {
        holds(&self.devices, name)
    }
}

fn holds(words: &[&str], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ios_are_shared_out_among_the_jobs_of_fio() {
        let job = ROWS[6].counted(0.5, 64);
        assert!(
            job.words.contains(&"--number_ios=2500".to_owned()),
            "{job:?}"
        );
        assert!(job.words.contains(&"--size=64M".to_owned()), "{job:?}");
    }

    #[test]
    fn words_of_only_are_jobs_or_devices() {
        let words = ["depth 1", "zero copy"].map(str::to_owned);
        let only = Only::new(&words);
        assert_eq!(only.rows().count(), 1);
        assert!(only.has_device("ublk loop, zero copy") && !only.has_device("aim"));
        assert_eq!(Only::new(&[]).rows().count(), ROWS.len());
    }
}

//! A series, the runs in which it is applied, and what a mirror of it may hold at rest.

use std::collections::BTreeMap;
use std::ops::Range;

use aim_core::cursor::MirrorCursor;
use aim_core::identity::VolumeIdentity;
use aim_core::replay::{Replay, ReplayError};
use aim_core::units::{FileNumber, Lsn};
use aim_tests::{Series, SeriesFile};

use super::mirror::two_disks;

/// The files of a series and the runs in which they are applied.
pub(super) struct Plan {
    pub(super) series: Series,
    pub(super) files: Vec<SeriesFile>,
    /// Files by index.
    pub(super) runs: Vec<Range<usize>>,
    /// What the devices hold wherever the series is outside of a group.
    instants: BTreeMap<Lsn, Vec<Vec<u8>>>,
}

impl Plan {
    /// Four files, each of which ends outside of a group, in runs of `run_len`.
    pub(super) fn new(seed: u64, run_len: usize) -> Self {
        let mut series = Series::new(two_disks(), seed);
        let files: Vec<_> = (0..4).map(|_| series.next_file(12)).collect();
        let starts = (0..files.len()).step_by(run_len);
        let runs = starts.map(|start| start..start + run_len).collect();
        Self::of(series, files, runs)
    }

    /// A file, a group over three files, a file, a group over two.
    pub(super) fn grouped(seed: u64) -> Self {
        let mut series = Series::new(two_disks(), seed);
        let files = grouped(&mut series);
        Self::of(series, files, vec![0..1, 1..4, 4..5, 5..7])
    }

    /// The same, all as one run.
    pub(super) fn grouped_in_one_run(seed: u64) -> Self {
        let plan = Self::grouped(seed);
        let runs = vec![Range {
            start: 0,
            end: plan.files.len(),
        }];
        Self { runs, ..plan }
    }

    /// The same, applied by one who sees no groups.
    pub(super) fn with_groups_overlooked(seed: u64) -> Self {
        let marked = Self::grouped(seed);
        let series = Series::new(marked.series.identity().clone(), seed);
        let mut series = series.without_groups();
        let files = grouped(&mut series);
        let runs = (0..files.len()).map(|index| index..index + 1).collect();
        Self {
            series,
            files,
            runs,
            instants: marked.instants,
        }
    }

    /// Files of any series, each group of which is a run.
    pub(super) fn of(series: Series, files: Vec<SeriesFile>, runs: Vec<Range<usize>>) -> Self {
        let outside = files.iter().filter(|file| !file.position.is_in_group());
        let mut instants: BTreeMap<_, _> = outside
            .map(|file| (file.position.lsn, file.devices.clone()))
            .collect();
        instants.insert(Lsn(0), blank(series.identity()));
        Self {
            series,
            files,
            runs,
            instants,
        }
    }

    pub(super) fn last(&self) -> &SeriesFile {
        &self.files[self.files.len() - 1]
    }

    /// Whether `content` is what the devices are to hold by what the cursor says is applied.
    pub(super) fn is_as_applied(&self, cursor: &MirrorCursor, content: &[Vec<u8>]) -> bool {
        let expected = self.instants.get(&cursor.applied.lsn);
        expected.is_some_and(|expected| expected == content)
    }

    /// Applies what is not applied yet, run by run. The files of a run of several are opened one
    /// at a time.
    pub(super) fn apply(&self, replay: &mut Replay) -> Result<(), ReplayError> {
        for files in &self.runs {
            let files = &self.files[files.clone()];
            let mut run = replay.start_run();
            for file in files {
                replay.extend_run(&mut run, &self.series.parsed(file))?;
            }
            if !run.files().is_empty() {
                replay.apply_files(&run, &mut |number| Ok(self.open(number)))?;
            }
        }
        Ok(())
    }

    pub(super) fn open(&self, number: FileNumber) -> aim_core::journal::ParsedFile {
        self.series.parsed(&self.files[number.get() as usize - 1])
    }
}

fn grouped(series: &mut Series) -> Vec<SeriesFile> {
    let mut files = vec![series.next_file(8)];
    files.extend((0..2).map(|_| series.next_file_in_group(8)));
    files.push(series.next_file(8));
    files.push(series.next_file(8));
    files.push(series.next_file_in_group(8));
    files.push(series.next_file(8));
    files
}

fn blank(identity: &VolumeIdentity) -> Vec<Vec<u8>> {
    let sizes = identity.devices.iter().map(|device| device.size.get());
    sizes.map(|size| vec![0; size as usize]).collect()
}

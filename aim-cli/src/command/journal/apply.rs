//! `aim journal apply`: files onto a device, in series order.
//!
//! Nothing but the files says where the series begins. So the first file must be the first of
//! the series, or the operator says up to which file the device already holds it. Files of a group
//! are applied together; one that has no end yet is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::{MirrorCursor, MirrorCursorFile, Position};
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::ParsedFile;
use aim_core::replay::{Replay, ReplayError, Summary};
use aim_core::state_file::StateFile;
use aim_core::units::{FileNumber, Lsn};
use indicatif::ProgressBar;
use serde::Serialize;

use super::files;
use crate::args::{JournalApplyArgs, Output};
use crate::config::Size;
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};
use crate::output;
use crate::progress;

/// What was done, or would be.
#[derive(Debug, Default, Serialize)]
struct Done {
    dry_run: bool,
    files: u64,
    transactions: u64,
    writes: u64,
    bytes_written: u64,
    zeroings: u64,
    bytes_zeroed: u64,
    flushes: u64,
    groups: u64,
    verifies: u64,
    bytes_verified: u64,
    /// Verify records that did not match what the device holds.
    mismatches: u64,
    bytes_mismatched: u64,
    last_file: u64,
    last_lsn: u64,
    /// Files of a group that has no end yet.
    files_left_out: u64,
    /// Where that group begins.
    open_group_lsn: Option<u64>,
}

/// Runs the command.
pub(super) fn apply(args: &JournalApplyArgs, out: &Output) -> Outcome {
    let paths = files::find_sealed(&args.paths)?;
    let mut run = Run::start(args, &paths[0])?;
    let bar = progress::bytes(out, paths.iter().map(|path| size(path)).sum());
    run.apply(&paths, &bar)?;
    bar.finish_and_clear();
    let done = run.done;
    if out.json {
        output::json(&done)?;
    } else {
        print(&done)?;
    }
    Ok(match (done.mismatches, done.files_left_out) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::Degraded,
        _ => Exit::Mismatch,
    })
}

fn print(done: &Done) -> Outcome<()> {
    let what = match done.dry_run {
        true => "would be applied",
        false => "applied",
    };
    output::line(format!(
        "{what}: {} files up to file {} (LSN {}): {} writes of {}, {} zeroings of {}, {} flushes",
        done.files,
        done.last_file,
        done.last_lsn,
        done.writes,
        Size(done.bytes_written),
        done.zeroings,
        Size(done.bytes_zeroed),
        done.flushes
    ))?;
    if done.verifies > 0 && !done.dry_run {
        output::line(format!(
            "verified: {}, of which {} differ from the source",
            Size(done.bytes_verified),
            Size(done.bytes_mismatched)
        ))?;
    }
    if let Some(lsn) = done.open_group_lsn {
        output::line(format!(
            "left out: {} files of the group of LSN {lsn}, which has no end yet",
            done.files_left_out
        ))?;
    }
    Ok(())
}

/// Length of a file, for the progress.
fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |facts| facts.len())
}

/// A replay whose cursor lives only as long as the command.
struct Run {
    replay: Replay,
    cursor: Arc<MirrorCursorFile>,
    done: Done,
    scratch: Scratch,
}

impl Run {
    fn start(args: &JournalApplyArgs, first: &Path) -> Outcome<Self> {
        let header = files::parse(first)?.header().clone();
        let before = FileNumber(header.number.get() - 1);
        let said = args.after.unwrap_or(0);
        if said != before.get() {
            let what = format!(
                "the first file is number {}, not {}",
                header.number,
                said + 1
            );
            return Err(Problem::new(what)
                .at(first.display())
                .hint(format!(
                    "if the device holds the series up to file {before} already, say --after {before}; \
                     else files are missing"
                ))
                .exit(Exit::Gap));
        }
        let device: FileDevice = match args.dry_run {
            true => disk::open_read_only(&args.device)?,
            false => disk::open_exclusive(&args.device)?,
        };
        let device: Arc<dyn BlockDevice> = Arc::new(device);
        let start = Position {
            epoch: header.volume.epoch,
            file: before,
            lsn: Lsn(header.first_lsn.get() - 1),
            digest: header.previous,
            open_group: header.open_group,
        };
        let start = if before.get() == 0 {
            Position::START
        } else {
            start
        };
        if start.is_in_group() {
            let what = format!(
                "the first file starts in the group of LSN {}, of which no part is applied",
                start.open_group
            );
            return Err(Problem::new(what)
                .at(first.display())
                .hint("name the files from the one on in which the group begins")
                .exit(Exit::Gap));
        }
        let (scratch, cursor) = Scratch::with_cursor(MirrorCursor {
            received: start,
            intent: start,
            applied: start,
            ..MirrorCursor::new(header.volume.id)
        })?;
        let replay = Replay::new(header.volume, vec![device], cursor.clone())
            .map_err(|error| refused(&args.device, &error))?;
        let done = Done {
            dry_run: args.dry_run,
            ..Done::default()
        };
        Ok(Self {
            replay,
            cursor,
            done,
            scratch,
        })
    }

    /// Applies the files run by run.
    fn apply(&mut self, paths: &[PathBuf], bar: &ProgressBar) -> Outcome<()> {
        let mut run = self.replay.start_run();
        let mut of_run: BTreeMap<FileNumber, &PathBuf> = BTreeMap::new();
        for path in paths {
            let file = files::parse(path)?;
            let added = self.replay.extend_run(&mut run, &file);
            if !added.map_err(|error| refused(path, &error))? {
                continue;
            }
            of_run.insert(file.header().number, path);
            if !run.is_complete() {
                continue;
            }
            // several files are opened twice
            let times = match self.done.dry_run || of_run.len() == 1 {
                true => 1,
                false => 2,
            };
            let mut open = |number| {
                let file = open(number, of_run[&number])?;
                bar.inc(file.len().get() / times);
                Ok(file)
            };
            let summary = match self.done.dry_run {
                false => self.replay.apply_files(&run, &mut open),
                true => self.replay.dry_run_files(&run, &mut open),
            };
            let summary = summary.map_err(|error| match error {
                ReplayError::Read { file, .. } => refused(of_run[&file], &error),
                _ => refused(path, &error),
            })?;
            self.done.count(&summary);
            self.pretend(&summary)?;
            run = self.replay.start_run();
            of_run.clear();
        }
        self.done.open_group_lsn = run.waits_in_group().map(Lsn::get);
        self.done.files_left_out = run.files().len() as u64;
        Ok(())
    }

    /// In a dry run the next files are judged as if those before had been applied.
    fn pretend(&self, summary: &Summary) -> Outcome<()> {
        if !self.done.dry_run {
            return Ok(());
        }
        let noted = self.cursor.update(|cursor| {
            cursor.received = summary.reached;
            cursor.intent = summary.reached;
            cursor.applied = summary.reached;
        });
        let noted = noted.map(drop).map_err(ReplayError::Cursor);
        noted.map_err(|error| refused(&self.scratch.0, &error))
    }
}

fn open(number: FileNumber, path: &Path) -> Result<ParsedFile, ReplayError> {
    let opened = files::open_plainly(path);
    opened.map_err(|source| ReplayError::Read {
        file: number,
        source,
    })
}

impl Done {
    fn count(&mut self, summary: &Summary) {
        self.files += summary.files;
        self.transactions += summary.transactions;
        self.writes += summary.writes;
        self.bytes_written += summary.bytes_written;
        self.zeroings += summary.zeroings;
        self.bytes_zeroed += summary.bytes_zeroed;
        self.flushes += summary.flushes;
        self.groups += summary.groups;
        self.verifies += summary.verifies;
        self.bytes_verified += summary.bytes_verified;
        self.mismatches += summary.mismatches;
        self.bytes_mismatched += summary.bytes_mismatched;
        self.last_file = summary.reached.file.get();
        self.last_lsn = summary.reached.lsn.get();
    }
}

/// A folder for the cursor, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn with_cursor(cursor: MirrorCursor) -> Outcome<(Self, Arc<MirrorCursorFile>)> {
        let path = std::env::temp_dir().join(format!("aim-apply-{}", std::process::id()));
        let failed = |error: &std::io::Error| {
            Problem::new("can't make a temporary folder")
                .at(path.display())
                .io(error)
        };
        std::fs::create_dir(&path).map_err(|error| failed(&error))?;
        let scratch = Self(path.clone());
        let folder: Arc<dyn Directory> =
            HostDirectory::open(&path).map_err(|error| failed(&error))?;
        let opened = cursor
            .store(&*folder)
            .and_then(|()| MirrorCursorFile::open(folder, cursor.volume));
        match opened {
            Ok(file) => Ok((scratch, Arc::new(file))),
            Err(error) => Err(refused(&scratch.0, &ReplayError::Cursor(error))),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what is left over in the temporary directory does no harm
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refused(path: &Path, error: &ReplayError) -> Failure {
    if let ReplayError::Read { source, .. } = error {
        return files::refused(path, source);
    }
    let (exit, hint) = match error {
        ReplayError::Device { source, .. } => (
            exit_of(source.kind()),
            "the device may hold part of the file: apply the same files again",
        ),
        ReplayError::DeviceCount { .. }
        | ReplayError::DeviceSize { .. }
        | ReplayError::DeviceBlockSize { .. } => (
            Exit::Usage,
            "name a device like the one that the files were written for",
        ),
        ReplayError::Cursor(_) | ReplayError::Differences(_) => {
            (Exit::Failed, "make room in the temporary directory")
        }
        _ => (Exit::Gap, "name all files of one series, without a gap"),
    };
    Problem::new("can't apply")
        .at(path.display())
        .because(error)
        .hint(hint)
        .exit(exit)
}

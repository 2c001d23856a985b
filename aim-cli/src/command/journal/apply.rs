//! `aim journal apply`: files onto a device, in series order.
//!
//! Nothing but the files says where the series begins. So the first file must be the first of
//! the series, or the operator says up to which file the device already holds it. Where files are
//! missing it goes on with one that begins with a baseline, if there is one: all of the disk comes by in
//! it. Files of a group, and those of a baseline behind missing files, are applied together; one that
//! has no end yet is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::{MirrorCursor, MirrorCursorFile, Position};
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::{LinkError, ParsedFile};
use aim_core::replay::{self, Replay, ReplayError, Summary};
use aim_core::state_file::StateFile;
use aim_core::units::{FileNumber, Lsn};
use indicatif::ProgressBar;

use super::applied::Done;
use super::files;
use crate::args::{JournalApplyArgs, Output};
use crate::disk;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};
use crate::output;
use crate::progress;

/// Runs the command.
pub(super) fn apply(args: &JournalApplyArgs, out: &Output) -> Outcome {
    let paths = files::find_sealed(&args.paths)?;
    let (mut run, passed_over) = Run::start(args, &paths)?;
    let paths = &paths[passed_over..];
    let bar = progress::bytes(out, paths.iter().map(|path| size(path)).sum());
    run.apply(paths, &bar)?;
    bar.finish_and_clear();
    let done = run.done;
    if out.json {
        output::json(&done)?;
    } else {
        done.print()?;
    }
    Ok(match (done.mismatches, done.files_left_out) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::Degraded,
        _ => Exit::Mismatch,
    })
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
    /// Starts with the first of the files that can be applied; says how many are before it.
    fn start(args: &JournalApplyArgs, paths: &[PathBuf]) -> Outcome<(Self, usize)> {
        let first = files::parse(&paths[0])?;
        let are_missing = first.header().number.get() > args.after.unwrap_or(0);
        let (begin, start, index) = match start_with(&first, args, &paths[0]) {
            Ok(start) => (first, start, 0),
            Err(gap) if !are_missing => return Err(gap),
            Err(gap) => {
                let (index, begin) = next_baseline(paths, 0)?.ok_or(gap)?;
                (begin, Position::START, index)
            }
        };
        let device: FileDevice = match args.dry_run {
            true => disk::open_read_only(&args.device)?,
            false => disk::open_exclusive(&args.device)?,
        };
        let device: Arc<dyn BlockDevice> = Arc::new(device);
        let volume = begin.header().volume.clone();
        let (scratch, cursor) = Scratch::with_cursor(MirrorCursor {
            received: start,
            intent: start,
            applied: start,
            ..MirrorCursor::new(volume.id)
        })?;
        let replay = Replay::new(volume, vec![device], cursor.clone())
            .map_err(|error| refused(&args.device, &error))?;
        let done = Done {
            dry_run: args.dry_run,
            files_passed_over: index as u64,
            ..Done::default()
        };
        let run = Self {
            replay,
            cursor,
            done,
            scratch,
        };
        Ok((run, index))
    }

    /// Applies the files run by run.
    fn apply(&mut self, paths: &[PathBuf], bar: &ProgressBar) -> Outcome<()> {
        let mut run = self.replay.start_run();
        let mut of_run: BTreeMap<FileNumber, &PathBuf> = BTreeMap::new();
        let mut index = 0;
        // behind the part of the run that can be applied
        let mut end = 0;
        loop {
            let path = paths.get(index).filter(|_| run.may_grow());
            let error = match path.map(|path| self.extend(&mut run, path)) {
                Some(Ok(number)) => {
                    of_run.extend(number.zip(paths.get(index)));
                    index += 1;
                    if run.is_complete() {
                        end = index;
                    }
                    continue;
                }
                Some(Err(error)) => Some(error),
                None => None,
            };
            // whatever comes behind it
            if run.cut_to_complete() {
                self.apply_run(&run, &of_run, bar)?;
                index = end;
            } else {
                let (Some(path), Some(error)) = (path, error) else {
                    break;
                };
                let (base, begin) = self.behind_gap(paths, index, path, error)?;
                self.done.files_passed_over += (of_run.len() + base - index) as u64;
                self.step_over(&begin)?;
                index = base;
            }
            run = self.replay.start_run();
            of_run.clear();
        }
        self.done.open_group_lsn = run.waits_in_group().map(Lsn::get);
        self.done.files_left_out = run.files().len() as u64;
        Ok(())
    }

    /// Adds a file to the run; gives its number if it belongs there.
    fn extend(&self, run: &mut replay::Run, path: &Path) -> Result<Option<FileNumber>, Unfit> {
        let file = files::parse(path).map_err(Unfit::Unreadable)?;
        let is_next = self.replay.extend_run(run, &file).map_err(Unfit::Other)?;
        Ok(is_next.then_some(file.header().number))
    }

    fn apply_run(
        &mut self,
        run: &replay::Run,
        of_run: &BTreeMap<FileNumber, &PathBuf>,
        bar: &ProgressBar,
    ) -> Outcome<()> {
        let is_dry = self.done.dry_run;
        let mut open = |number| {
            let times = match !is_dry && run.is_opened_twice(number) {
                true => 2,
                false => 1,
            };
            let file = open(number, of_run[&number])?;
            bar.inc(size(of_run[&number]) / times);
            Ok(file)
        };
        let summary = match self.done.dry_run {
            false => self.replay.apply_files(run, &mut open),
            true => self.replay.dry_run_files(run, &mut open),
        };
        let summary = summary.map_err(|error| match error {
            ReplayError::Read { file, .. } => refused(of_run[&file], &error),
            _ => refused(of_run[&run.reached().file], &error),
        })?;
        self.done.count(&summary);
        self.pretend(&summary)
    }

    /// Where a file can't be applied because others before it are missing: the next one that can
    /// be, with its place among the files.
    fn behind_gap(
        &self,
        paths: &[PathBuf],
        index: usize,
        path: &Path,
        error: Unfit,
    ) -> Outcome<(usize, ParsedFile)> {
        let error = match error {
            Unfit::Unreadable(failure) => return Err(failure),
            Unfit::Other(error) => error,
        };
        let is_gap = matches!(
            error,
            ReplayError::Link {
                source: LinkError::Gap { .. },
                ..
            }
        );
        let next = match is_gap {
            true => next_baseline(paths, index)?,
            false => None,
        };
        next.ok_or_else(|| refused(path, &error))
    }

    /// Goes on with a file that begins with a baseline, and that files are missing before.
    fn step_over(&mut self, begin: &ParsedFile) -> Outcome<()> {
        let Some(position) = begin.position() else {
            return Ok(());
        };
        self.done.baseline_files.push(position.file.get());
        let noted = self.cursor.update(|cursor| {
            cursor.received = position;
            cursor.base = position.file;
        });
        let noted = noted.map(drop).map_err(ReplayError::Cursor);
        noted.map_err(|error| refused(&self.scratch.0, &error))
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
            cursor.base = FileNumber(0);
        });
        let noted = noted.map(drop).map_err(ReplayError::Cursor);
        noted.map_err(|error| refused(&self.scratch.0, &error))
    }
}

/// Why a file is not added to a run.
enum Unfit {
    Unreadable(Failure),
    Other(ReplayError),
}

/// The place just before the first file, if the series begins there or the operator says that the
/// device holds it up to there.
fn start_with(first: &ParsedFile, args: &JournalApplyArgs, path: &Path) -> Outcome<Position> {
    let header = first.header();
    let before = FileNumber(header.number.get() - 1);
    let said = args.after.unwrap_or(0);
    if said != before.get() {
        let what = format!(
            "the first file is number {}, not {}",
            header.number,
            said + 1
        );
        return Err(Problem::new(what)
            .at(path.display())
            .hint(format!(
                "if the device holds the series up to file {before} already, say --after {before}; \
                 else files are missing, and none of those that are there begins with a baseline"
            ))
            .exit(Exit::Gap));
    }
    if before.get() == 0 {
        return Ok(Position::START);
    }
    let start = Position {
        epoch: header.volume.epoch,
        file: before,
        lsn: Lsn(header.first_lsn.get() - 1),
        digest: header.previous,
        open_group: header.open_group,
    };
    if start.is_in_group() {
        let what = format!(
            "the first file starts in the group of LSN {}, of which no part is applied",
            start.open_group
        );
        return Err(Problem::new(what)
            .at(path.display())
            .hint("name the files from the one on in which the group begins")
            .exit(Exit::Gap));
    }
    Ok(start)
}

/// The first file from `from` on that begins with a baseline, and its place among the files.
fn next_baseline(paths: &[PathBuf], from: usize) -> Outcome<Option<(usize, ParsedFile)>> {
    for (index, path) in paths.iter().enumerate().skip(from) {
        let file = files::parse(path)?;
        if file.header().begins_baseline() {
            return Ok(Some((index, file)));
        }
    }
    Ok(None)
}

fn open(number: FileNumber, path: &Path) -> Result<ParsedFile, ReplayError> {
    let opened = files::open_plainly(path);
    opened.map_err(|source| ReplayError::Read {
        file: number,
        source,
    })
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

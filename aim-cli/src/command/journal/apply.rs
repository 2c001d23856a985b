//! `aim journal apply`: files onto a device, in series order.
//!
//! Nothing but the files says where the series begins. So the first file must be the first of
//! the series, or the operator says up to which file the device already holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::{MirrorCursor, MirrorCursorFile, Position};
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::VerifiedFile;
use aim_core::replay::{Replay, ReplayError, Summary};
use aim_core::state_file::StateFile;
use aim_core::units::{FileNumber, Lsn};
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
    last_file: u64,
    last_lsn: u64,
}

/// Runs the command.
pub(super) fn apply(args: &JournalApplyArgs, out: &Output) -> Outcome {
    let paths = files::find_sealed(&args.paths)?;
    let mut run = Run::start(args, &paths[0])?;
    let sizes: Vec<u64> = paths.iter().map(|path| size(path)).collect();
    let bar = progress::bytes(out, sizes.iter().sum());
    for (path, size) in paths.iter().zip(&sizes) {
        run.apply(path)?;
        bar.inc(*size);
    }
    bar.finish_and_clear();
    let done = run.done;
    if out.json {
        output::json(&done)?;
    } else {
        output::line(format!(
            "{}: {} files up to file {} (LSN {}): {} writes of {}, {} zeroings of {}, {} flushes",
            if args.dry_run {
                "would be applied"
            } else {
                "applied"
            },
            done.files,
            done.last_file,
            done.last_lsn,
            done.writes,
            Size(done.bytes_written),
            done.zeroings,
            Size(done.bytes_zeroed),
            done.flushes
        ))?;
    }
    Ok(Exit::Success)
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
    _scratch: Scratch,
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
            _scratch: scratch,
        })
    }

    fn apply(&mut self, path: &Path) -> Outcome<()> {
        let file: VerifiedFile = files::verify(path)?;
        let summary = match self.done.dry_run {
            false => self.replay.apply_run(&[&file]),
            true => self.replay.dry_run(&[&file]),
        }
        .map_err(|error| refused(path, &error))?;
        if self.done.dry_run {
            // the next file is judged as if this one had been applied
            let reached = summary.reached;
            let noted = self.cursor.update(|cursor| {
                cursor.received = reached;
                cursor.intent = reached;
                cursor.applied = reached;
            });
            noted.map_err(|error| refused(path, &ReplayError::Cursor(error)))?;
        }
        self.done.count(&summary);
        Ok(())
    }
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
    let (exit, hint) = match error {
        ReplayError::Read { .. } => (
            Exit::Mismatch,
            "take the file again from where it came from",
        ),
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
        ReplayError::Cursor(_) => (Exit::Failed, "make room in the temporary directory"),
        _ => (Exit::Gap, "name all files of one series, without a gap"),
    };
    Problem::new("can't apply")
        .at(path.display())
        .because(error)
        .hint(hint)
        .exit(exit)
}

//! Finding and opening the files that a command line names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::fs::{DirFile, Directory, HostDirectory};
use aim_core::journal::{FileName, ParsedFile, ReadError, VerifiedFile};

use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};

/// Folders of a volume or mirror that hold journal files.
const FOLDERS: [&str; 4] = ["open", "outgoing", "incoming", "rejected"];

/// What the ending of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// `.aim`
    Sealed,
    /// `.open`
    Open,
    /// `.aim.part`
    Arriving,
}

/// All journal files that `paths` stand for, in series order. A file is taken whatever its name;
/// of a directory, and of the folders in it, those that are named like journal files.
pub(super) fn find(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let facts = path
            .metadata()
            .map_err(|error| Problem::new("can't open").at(path.display()).io(&error))?;
        if facts.is_dir() {
            found.extend(in_directory(path)?);
        } else {
            found.push(path.clone());
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then(a.cmp(b)));
    found.dedup();
    Ok(found)
}

/// Like [`find`], without files that are still open or arriving.
pub(super) fn find_sealed(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut found = find(paths)?;
    found.retain(|path| !matches!(stage(path), Some(Stage::Open | Stage::Arriving)));
    match found.is_empty() {
        false => Ok(found),
        true => Err(Problem::new("no sealed journal file is there")
            .at(shown(paths))
            .exit(Exit::NotFound)),
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

fn in_directory(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let folders = FOLDERS.iter().map(|name| directory.join(name));
    for folder in std::iter::once(directory.to_owned()).chain(folders) {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) if folder != directory => continue,
            Err(error) => {
                return Err(Problem::new("can't list").at(folder.display()).io(&error));
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if stage(&path).is_some() && path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// What the name of a file says; `None` if it is no name of a journal file.
pub(super) fn stage(path: &Path) -> Option<Stage> {
    let name = path.file_name()?.to_str()?;
    if FileName::parse_sealed(name).is_ok() {
        Some(Stage::Sealed)
    } else if FileName::parse_open(name).is_ok() {
        Some(Stage::Open)
    } else {
        let whole = name.strip_suffix(".part")?;
        FileName::parse_sealed(whole).ok().map(|_| Stage::Arriving)
    }
}

/// Opens a file and reads its header; the error names no file.
pub(super) fn open_plainly(path: &Path) -> Result<ParsedFile, ReadError> {
    let opened = open(path);
    ParsedFile::open(opened.map_err(|source| ReadError::Io { at: 0, source })?)
}

fn open(path: &Path) -> std::io::Result<Arc<dyn DirFile>> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) => HostDirectory::open(parent)?.open(name, false),
        None => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}

/// Opens a file and reads its header.
pub(super) fn parse(path: &Path) -> Outcome<ParsedFile> {
    let file = open(path).map_err(|error| {
        Problem::new("can't open the file")
            .at(path.display())
            .io(&error)
    })?;
    ParsedFile::open(file).map_err(|error| refused(path, &error))
}

/// Opens a file and checks every byte.
pub(super) fn verify(path: &Path) -> Outcome<VerifiedFile> {
    parse(path)?.verify().map_err(|error| refused(path, &error))
}

/// A file that can't be read, or not be believed.
pub(super) fn refused(path: &Path, error: &ReadError) -> Failure {
    let exit = match error {
        ReadError::Io { source, .. } => exit_of(source.kind()),
        error if error.is_damage() => Exit::Mismatch,
        _ => Exit::Failed,
    };
    Problem::new("not a good journal file")
        .at(path.display())
        .because(error)
        .hint("take it again from where it came from; a damaged file is never applied")
        .exit(exit)
}

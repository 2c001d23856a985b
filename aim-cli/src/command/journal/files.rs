//! Finding and opening the files that a command line names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::fs::{DirFile, HostDirectory};
use aim_core::journal::{FileName, ParsedFile, ReadError, VerifiedFile};

use super::form::{self, Formed};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem, exit_of};

/// Folders of a volume or mirror that hold journal files.
const FOLDERS: [&str; 4] = ["open", "outgoing", "incoming", "rejected"];

/// What the ending of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// `.aim` or, packed, `.aim.zst`
    Sealed,
    /// `.open`
    Open,
    /// `.part` behind either
    Arriving,
}

/// All journal files that `paths` stand for, in series order. A file is taken whatever its name;
/// of a directory, and of the folders in it, those that are named like journal files, and of one that
/// is in a folder in both forms the one that is not packed.
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
        let paths = entries.flatten().map(|entry| entry.path());
        let ours = paths.filter(|path| stage(path).is_some() && path.is_file());
        found.extend(in_one_form(ours.collect()));
    }
    Ok(found)
}

/// Without the packed ones where the same file is in the folder as it is.
fn in_one_form(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let known = paths.iter().filter_map(|path| formed(path));
    let plain = known.filter(|file| !file.is_packed);
    let plain: HashSet<FileName> = plain.map(|file| file.name).collect();
    let is_again = |file: Formed| file.is_packed && plain.contains(&file.name);
    paths.retain(|path| !formed(path).is_some_and(is_again));
    paths
}

/// A sealed file by its name, in one of its forms.
fn formed(path: &Path) -> Option<Formed> {
    Formed::parse(path.file_name()?.to_str()?)
}

/// Whether a file is packed, by its name.
pub(super) fn is_packed(path: &Path) -> bool {
    formed(path).is_some_and(|file| file.is_packed)
}

/// What the name of a file says; `None` if it is no name of a journal file.
pub(super) fn stage(path: &Path) -> Option<Stage> {
    let name = path.file_name()?.to_str()?;
    if Formed::parse(name).is_some() {
        Some(Stage::Sealed)
    } else if FileName::parse_open(name).is_ok() {
        Some(Stage::Open)
    } else {
        let whole = name.strip_suffix(".part")?;
        Formed::parse(whole).map(|_| Stage::Arriving)
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
        Some(name) => form::open(&*HostDirectory::open(parent)?, name, is_packed(path)),
        None => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}

/// Opens a file and reads its header.
pub(super) fn parse(path: &Path) -> Outcome<ParsedFile> {
    open_plainly(path).map_err(|error| match &error {
        ReadError::Io { at: 0, source } if !form::is_damage(&error) => {
            let problem = Problem::new("can't open the file").at(path.display());
            problem.io(source)
        }
        _ => refused(path, &error),
    })
}

/// Opens a file and checks every byte.
pub(super) fn verify(path: &Path) -> Outcome<VerifiedFile> {
    parse(path)?.verify().map_err(|error| refused(path, &error))
}

/// A file that can't be read, or not be believed.
pub(super) fn refused(path: &Path, error: &ReadError) -> Failure {
    let exit = match error {
        error if form::is_damage(error) => Exit::Mismatch,
        ReadError::Io { source, .. } => exit_of(source.kind()),
        _ => Exit::Failed,
    };
    Problem::new("not a good journal file")
        .at(path.display())
        .because(error)
        .hint("take it again from where it came from; a damaged file is never applied")
        .exit(exit)
}

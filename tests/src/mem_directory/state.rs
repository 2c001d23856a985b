//! Names and contents: as programs see them, and as a crash leaves them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::sabotage::Sabotage;
use crate::Rng;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) type FileId = u64;
pub(super) type Name = (PathBuf, String);

#[derive(Debug, Default)]
pub(super) struct State {
    /// Names as programs see them.
    names: BTreeMap<Name, FileId>,
    /// Names that a crash certainly leaves.
    durable: BTreeMap<Name, FileId>,
    /// Changes of names that a crash may undo, oldest first.
    changes: Vec<NameChange>,
    files: BTreeMap<FileId, Content>,
    next_file: FileId,
    /// Bytes that all files may have together.
    pub(super) capacity: Option<u64>,
    /// Raised by a crash: files opened before are of no use after it.
    pub(super) boots: u64,
    pub(super) sabotage: Option<Sabotage>,
}

/// One creation, renaming or removal: it survives a crash whole or not at all.
#[derive(Debug)]
struct NameChange {
    file: FileId,
    from: Option<Name>,
    to: Option<Name>,
    /// Folders that have not been synced since. Durable once there is none.
    unsynced: Vec<PathBuf>,
}

/// What a file holds.
#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that were changed since the last sync.
    unsynced: BTreeSet<usize>,
    len_unsynced: bool,
    /// Bytes reserved for it, written or not.
    allocated: u64,
}

impl State {
    pub(super) fn list(&self, folder: &Path) -> Vec<String> {
        let in_folder = self.names.keys().filter(|(path, _)| path == folder);
        in_folder.map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn find(&self, name: &Name) -> io::Result<FileId> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name:?}")))
    }

    pub(super) fn create(&mut self, name: Name) -> io::Result<FileId> {
        if self.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.next_file += 1;
        let file = self.next_file;
        self.files.insert(file, Content::default());
        self.change(file, None, Some(name));
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: Name, to: Name) -> io::Result<()> {
        let file = self.find(&from)?;
        self.change(file, Some(from), Some(to));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: Name) -> io::Result<()> {
        let file = self.find(&name)?;
        self.change(file, Some(name), None);
        Ok(())
    }

    fn change(&mut self, file: FileId, from: Option<Name>, to: Option<Name>) {
        let mut unsynced: Vec<PathBuf> = [&from, &to]
            .into_iter()
            .flatten()
            .map(|(folder, _)| folder.clone())
            .collect();
        unsynced.dedup();
        let change = NameChange {
            file,
            from,
            to,
            unsynced,
        };
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// Makes durable what only waited for this folder, and whatever earlier change of the same
    /// names that builds on.
    pub(super) fn sync_folder(&mut self, folder: &Path) {
        for change in &mut self.changes {
            change.unsynced.retain(|path| path != folder);
        }
        for index in (0..self.changes.len()).rev() {
            if self.changes[index].unsynced.is_empty() {
                let (earlier, rest) = self.changes.split_at_mut(index);
                for change in earlier.iter_mut().filter(|change| change.touches(&rest[0])) {
                    change.unsynced.clear();
                }
            }
        }
        for change in self
            .changes
            .extract_if(.., |change| change.unsynced.is_empty())
        {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn settle(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            change.apply(&mut self.durable);
        }
        for content in self.files.values_mut() {
            content.durable.clone_from(&content.now);
            content.forget_unsynced();
        }
    }

    pub(super) fn crash(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.chance(2) {
                change.apply(&mut self.durable);
            }
        }
        self.names.clone_from(&self.durable);
        let left: BTreeSet<FileId> = self.names.values().copied().collect();
        self.files.retain(|file, _| left.contains(file));
        for content in self.files.values_mut() {
            content.crash(rng);
        }
        self.boots += 1;
    }

    /// Whether a step on a file or folder is only claimed to be done.
    pub(super) fn skips(&self, label: &'static str, path: &Path) -> bool {
        let sabotage = self.sabotage.as_ref();
        sabotage.is_some_and(|sabotage| sabotage.skips(label, path))
    }

    /// Like [`skips`](Self::skips), of an open file; one without a name is left alone.
    pub(super) fn skips_in_file(&self, label: &'static str, file: FileId) -> bool {
        self.sabotage.is_some() && (self.path_of(file)).is_some_and(|path| self.skips(label, &path))
    }

    /// What is stored of `data` that is written to a file.
    pub(super) fn alter_data(&self, file: FileId, data: &mut Vec<u8>) {
        if let Some(sabotage) = &self.sabotage
            && let Some(path) = self.path_of(file)
        {
            sabotage.alter_data(&path, data);
        }
    }

    fn path_of(&self, file: FileId) -> Option<PathBuf> {
        let named = self.names.iter().find(|(_, named)| **named == file);
        named.map(|((folder, name), _)| folder.join(name))
    }

    /// Bytes that the files with a name have together.
    pub(super) fn used(&self) -> u64 {
        let named: BTreeSet<&FileId> = self.names.values().collect();
        let contents = named.iter().filter_map(|file| self.files.get(file));
        contents.map(Content::space).sum()
    }

    fn content(&mut self, file: FileId) -> io::Result<&mut Content> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "a file from before a crash");
        self.files.get_mut(&file).ok_or_else(gone)
    }

    pub(super) fn bytes(&mut self, file: FileId) -> io::Result<&[u8]> {
        Ok(&self.content(file)?.now)
    }

    /// Refuses to let a file grow to `len` bytes where there is no room.
    fn require_room(&mut self, file: FileId, len: u64) -> io::Result<()> {
        let growth = len.saturating_sub(self.content(file)?.space());
        match self.capacity {
            // what lies inside of a file can be written on a full disk, too
            Some(capacity) if growth > 0 && self.used() + growth > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn write(&mut self, file: FileId, offset: usize, data: &[u8]) -> io::Result<()> {
        self.require_room(file, (offset + data.len()) as u64)?;
        let content = self.content(file)?;
        if data.is_empty() {
            return Ok(());
        }
        if content.now.len() < offset + data.len() {
            content.now.resize(offset + data.len(), 0);
            content.len_unsynced = true;
        }
        content.now[offset..][..data.len()].copy_from_slice(data);
        let last = (offset + data.len() - 1) / SECTOR_BYTES;
        content.unsynced.extend(offset / SECTOR_BYTES..=last);
        Ok(())
    }

    pub(super) fn allocate(&mut self, file: FileId, len: u64) -> io::Result<()> {
        self.require_room(file, len)?;
        let content = self.content(file)?;
        content.allocated = content.allocated.max(len);
        Ok(())
    }

    pub(super) fn set_len(&mut self, file: FileId, len: usize) -> io::Result<()> {
        let content = self.content(file)?;
        if len <= content.now.len() {
            content.allocated = content.allocated.min(len as u64);
        }
        content.now.resize(len, 0);
        content.len_unsynced = true;
        Ok(())
    }

    pub(super) fn sync_content(&mut self, file: FileId) -> io::Result<()> {
        let content = self.content(file)?;
        content.durable.clone_from(&content.now);
        content.forget_unsynced();
        Ok(())
    }

    /// A sync that failed: what was to be written is read back, but no later sync writes it.
    pub(super) fn lose_content(&mut self, file: FileId) -> io::Result<()> {
        self.content(file)?.unsynced.clear();
        Ok(())
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<Name, FileId>) {
        if let Some(from) = &self.from
            && names.get(from) == Some(&self.file)
        {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.file);
        }
    }

    fn touches(&self, other: &Self) -> bool {
        let mut names = [&self.from, &self.to].into_iter().flatten();
        names.any(|name| Some(name) == other.from.as_ref() || Some(name) == other.to.as_ref())
    }
}

impl Content {
    fn space(&self) -> u64 {
        self.allocated.max(self.now.len() as u64)
    }

    fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        self.len_unsynced = false;
    }

    /// Length and each changed sector become those from before or from after the change.
    fn crash(&mut self, rng: &mut Rng) {
        if self.len_unsynced && rng.chance(2) {
            self.durable.resize(self.now.len(), 0);
        }
        for &sector in &self.unsynced {
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES)
                .min(self.durable.len())
                .min(self.now.len());
            if start < end && rng.chance(2) {
                self.durable[start..end].copy_from_slice(&self.now[start..end]);
            }
        }
        self.now.clone_from(&self.durable);
        self.forget_unsynced();
        self.allocated = 0;
    }
}

//! The file system in memory and its folders.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aim_core::fs::{DirFile, Directory};

use super::file::MemFile;
use super::sabotage::Sabotage;
use super::state::{FileId, Name, State};
use crate::{Power, Rng, Step};

/// A file system in memory that forgets in a crash what was not synced.
///
/// - A name that was created, renamed or removed survives a crash for certain only once every
///   folder concerned was synced; before, each such change is kept whole or undone whole.
/// - Content survives for certain only once the file was synced; before, each sector of 512
///   bytes and the length are from before or from after the change.
/// - After a failed sync of a file, what it was to write is read back, but no later sync makes
///   it durable.
///
/// Folders themselves are durable at once.
#[derive(Clone, Debug)]
pub struct MemFileSystem {
    power: Arc<Power>,
    state: Arc<Mutex<State>>,
}

/// A folder of a [`MemFileSystem`].
#[derive(Debug)]
pub struct MemDirectory {
    file_system: MemFileSystem,
    path: PathBuf,
}

impl MemFileSystem {
    /// An empty file system.
    pub fn new(power: Arc<Power>) -> Self {
        Self {
            power,
            state: Arc::default(),
        }
    }

    /// The folder at `path`, which exists from the beginning.
    pub fn folder(&self, path: impl AsRef<Path>) -> Arc<dyn Directory> {
        Arc::new(MemDirectory {
            file_system: self.clone(),
            path: path.as_ref().to_owned(),
        })
    }

    /// Lets all files have at most `bytes` together; writes past it fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// From here on does not do all that it claims to do; `None` ends that.
    pub fn sabotage(&self, sabotage: Option<Sabotage>) {
        self.lock().sabotage = sabotage;
    }

    /// Makes everything durable, as time does. It is no step.
    pub fn settle(&self) {
        self.lock().settle();
    }

    /// Forgets what a crash of the machine makes it forget; `seed` decides what that is. Files
    /// that are open are of no use afterwards.
    pub fn crash(&self, seed: u64) {
        self.lock().crash(&mut Rng::new(seed));
    }

    pub(super) fn power(&self) -> &Power {
        &self.power
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemDirectory {
    fn name(&self, name: &str) -> io::Result<Name> {
        match name.is_empty() || name.contains('/') || name == "." || name == ".." {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{name}` is not a single path component"),
            )),
            false => Ok((self.path.clone(), name.to_owned())),
        }
    }

    fn opened(&self, file: FileId, writable: bool, boots: u64) -> Arc<dyn DirFile> {
        Arc::new(MemFile {
            file_system: self.file_system.clone(),
            file,
            writable,
            boots,
        })
    }

    /// Does `change` in a step: a power cut leaves it done but not durable.
    fn step<T>(
        &self,
        label: &'static str,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.file_system.lock();
        match self.file_system.power.step(label) {
            Step::Go => change(&mut state),
            Step::Cut(error) => {
                change(&mut state)?;
                Err(error)
            }
            Step::Fail(error) | Step::Off(error) => Err(error),
        }
    }
}

impl Directory for MemDirectory {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.file_system.power.require_on()?;
        Ok(self.file_system.lock().list(&self.path))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        let name = self.name(name)?;
        let (file, boots) = self.step("create", |state| Ok((state.create(name)?, state.boots)))?;
        Ok(self.opened(file, true, boots))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        self.file_system.power.require_on()?;
        let state = self.file_system.lock();
        let file = state.find(&self.name(name)?)?;
        Ok(self.opened(file, writable, state.boots))
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        let from = self.name(name)?;
        let to = (to.path(), self.name(to_name)?.1);
        let path = self.path.join(name);
        self.step("rename", |state| match state.skips("rename", &path) {
            true => Ok(()),
            false => state.rename(from, to),
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.name(name)?;
        // what is not there is no step: write_atomic looks for leftovers
        self.file_system.power.require_on()?;
        self.file_system.lock().find(&name)?;
        let path = self.path.join(&name.1);
        self.step("remove", |state| match state.skips("remove", &path) {
            true => Ok(()),
            false => state.remove(name),
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.file_system.lock();
        match self.file_system.power.step("folder sync") {
            Step::Go if state.skips("folder sync", &self.path) => Ok(()),
            Step::Go => {
                state.sync_folder(&self.path);
                Ok(())
            }
            Step::Fail(error) | Step::Cut(error) | Step::Off(error) => Err(error),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let (folder, name) = self.name(name)?;
        Ok(self.file_system.folder(folder.join(name)))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.file_system.power.require_on()?;
        let state = self.file_system.lock();
        let capacity = state.capacity.unwrap_or(1 << 50);
        Ok(capacity.saturating_sub(state.used()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::IoSlice;

    use super::*;

    fn after_crash(seed: u64, act: impl Fn(&Arc<dyn Directory>)) -> Arc<dyn Directory> {
        let file_system = MemFileSystem::new(Power::steady());
        let folder = file_system.folder("/spool");
        act(&folder);
        file_system.crash(seed);
        folder
    }

    #[test]
    fn an_atomic_write_is_there_after_any_crash() {
        for seed in 0..32 {
            let folder = after_crash(seed, |folder| {
                folder.write_atomic("state", b"one").unwrap();
                folder.write_atomic("state", b"two").unwrap();
            });
            assert_eq!(folder.read_small("state", 9).unwrap(), b"two");
        }
    }

    #[test]
    fn unsynced_names_and_contents_may_be_lost_or_kept() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..64 {
            let folder = after_crash(seed, |folder| {
                let file = folder.create("f").unwrap();
                file.write_all_at(&[IoSlice::new(&[7; 1024])], 0).unwrap();
            });
            outcomes.insert(folder.read_small("f", 4096).ok());
        }
        assert!(outcomes.contains(&None), "the name is lost");
        assert!(outcomes.contains(&Some(vec![])), "the content is lost");
        assert!(outcomes.contains(&Some(vec![7; 1024])), "all is kept");
        let mut torn = vec![0; 1024];
        torn[512..].fill(7);
        assert!(outcomes.contains(&Some(torn)), "a sector is lost");
    }

    #[test]
    fn a_rename_between_folders_is_certain_once_both_are_synced() {
        let mut places = BTreeSet::new();
        for seed in 0..32 {
            for both in [false, true] {
                let file_system = MemFileSystem::new(Power::steady());
                let (open, outgoing) = (file_system.folder("/open"), file_system.folder("/out"));
                open.write_atomic("f", b"sealed").unwrap();
                open.rename("f", &*outgoing, "f").unwrap();
                outgoing.sync().unwrap();
                if both {
                    open.sync().unwrap();
                }
                file_system.crash(seed);
                let place = (open.list().unwrap().len(), outgoing.list().unwrap().len());
                places.insert((both, place));
            }
        }
        let places: Vec<_> = places.into_iter().collect();
        assert_eq!(places, [(false, (0, 1)), (false, (1, 0)), (true, (0, 1))]);
    }

    #[test]
    fn a_sabotaged_step_is_claimed_and_not_done() {
        let file_system = MemFileSystem::new(Power::steady());
        let folder = file_system.folder("/spool");
        folder.write_atomic("f", b"old").unwrap();
        file_system.sabotage(Some(Sabotage::skip(|label, path| {
            label == "rename" && path.ends_with("f.tmp")
        })));
        folder.write_atomic("f", b"new").unwrap();
        assert_eq!(folder.read_small("f", 9).unwrap(), b"old");
        file_system.sabotage(Some(Sabotage::alter(|_, data| data.reverse())));
        folder.write_atomic("f", b"new").unwrap();
        assert_eq!(folder.read_small("f", 9).unwrap(), b"wen");
        file_system.sabotage(None);
        folder.write_atomic("f", b"new").unwrap();
        assert_eq!(folder.read_small("f", 9).unwrap(), b"new");
    }

    #[test]
    fn a_full_file_system_says_so_and_has_room_again_after_a_removal() {
        let file_system = MemFileSystem::new(Power::steady());
        let folder = file_system.folder("/spool");
        file_system.set_capacity(Some(1000));
        folder.write_atomic("a", &[1; 800]).unwrap();
        let full = folder.write_atomic("b", &[2; 300]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(folder.free_bytes().unwrap(), 200);
        folder.remove("a").unwrap();
        folder.write_atomic("b", &[2; 300]).unwrap();
    }

    #[test]
    fn a_failed_sync_loses_the_content_for_good() {
        let power = Power::steady();
        let file_system = MemFileSystem::new(power.clone());
        let folder = file_system.folder("/spool");
        folder.write_atomic("f", &[1; 512]).unwrap();
        let file = folder.open("f", true).unwrap();
        file.write_all_at(&[IoSlice::new(&[2; 512])], 0).unwrap();
        power.fail_at(power.steps() + 1, io::ErrorKind::Other);
        assert!(file.sync_data().is_err());
        file_system.crash(1);
        assert_eq!(folder.read_small("f", 512).unwrap(), [1; 512]);
        assert!(file.len().is_err(), "opened before the crash");
    }
}

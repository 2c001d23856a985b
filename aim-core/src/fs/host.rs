//! A folder of the operating system's file system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::direct::DirectFile;
use super::{DirFile, Directory};
use crate::vectored::write_all_at;

/// A folder of the operating system's file system.
#[derive(Debug)]
pub struct HostDirectory {
    path: PathBuf,
    handle: File,
}

impl HostDirectory {
    /// Opens an existing folder.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Arc<Self>> {
        let path = path.into();
        let handle = File::open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Arc::new(Self { path, handle }))
    }

    /// Opens a folder, creating it (not its parents) if it is missing.
    pub fn open_or_create(path: impl Into<PathBuf>) -> io::Result<Arc<Self>> {
        let path = path.into();
        match std::fs::create_dir(&path) {
            Ok(()) => sync_parent(&path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Self::open(path)
    }
}

/// Makes the name of a new folder durable in its parent.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    File::open(parent)?.sync_all()
}

impl Directory for HostDirectory {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // a name that is not UTF-8 is none of ours
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(HostFile { file, direct: None }))
    }

    fn create_direct(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let direct = DirectFile::open(&path);
        Ok(Arc::new(HostFile { file, direct }))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .open(self.path.join(name))?;
        Ok(Arc::new(HostFile { file, direct: None }))
    }

    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(name), to.path().join(to_name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        Ok(Self::open_or_create(self.path.join(name))?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.handle)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// A file in a [`HostDirectory`].
#[derive(Debug)]
struct HostFile {
    file: File,
    /// The same file, for what can go past the page cache.
    direct: Option<DirectFile>,
}

impl DirFile for HostFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct.as_ref().filter(|it| it.takes(slices, offset)) {
            match write_all_at(direct.file(), slices, offset) {
                // it wants more than it says: all of it once more, in the other way
                Err((_, error)) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
                done => return done.map_err(|(_, error)| error),
            }
        }
        write_all_at(&self.file, slices, offset).map_err(|(_, error)| error)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_no_temporary() {
        let temp = tempfile::tempdir().unwrap();
        let dir: Arc<dyn Directory> = HostDirectory::open(temp.path()).unwrap();
        dir.write_atomic("state", b"one").unwrap();
        dir.write_atomic("state", b"second").unwrap();
        assert_eq!(dir.read_small("state", 16).unwrap(), b"second");
        assert_eq!(dir.list().unwrap(), ["state"]);
        let too_long = dir.read_small("state", 3).unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn many_slices_are_written_in_order() {
        let temp = tempfile::tempdir().unwrap();
        let dir: Arc<dyn Directory> = HostDirectory::open(temp.path()).unwrap();
        let file = dir.create_direct("f").unwrap();
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        let slices: Vec<IoSlice<'_>> = bytes.chunks(2).map(IoSlice::new).collect();
        file.write_all_at(&slices, 3).unwrap();
        assert_eq!(file.len().unwrap(), 5003);
        let mut back = vec![0; 5000];
        file.read_exact_at(&mut back, 3).unwrap();
        assert_eq!(back, bytes);
    }
}

//! A folder of the operating system's file system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::at_once::AtOnce;
use super::direct::DirectFile;
use super::directory::write_in_turn;
use super::{DirFile, Directory, Part};
use crate::intercept::Steady;
use crate::vectored::write_all_at;

/// A folder of the operating system's file system.
#[derive(Debug)]
pub struct HostDirectory {
    path: PathBuf,
    handle: File,
    at_once: Arc<AtOnce>,
}

impl HostDirectory {
    /// Opens an existing folder.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Arc<Self>> {
        let path = path.into();
        let handle = File::open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let at_once = Arc::new(AtOnce::new());
        Ok(Arc::new(Self {
            path,
            handle,
            at_once,
        }))
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
        let direct = DirectFile::open(&path).map(|direct| (direct, self.at_once.clone()));
        Ok(Arc::new(HostFile { file, direct }))
    }

    fn hold(&self, memory: &Arc<dyn Steady>) {
        self.at_once.hold(memory);
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
    /// The same file, for what can go past the page cache, and what writes much of it at once.
    direct: Option<(DirectFile, Arc<AtOnce>)>,
}

impl HostFile {
    /// Writes parts at the same time, if they can go past the page cache. `None` if they have to go
    /// another way, one after the other; some of them may be written.
    fn write_at_once(&self, parts: &[Part<'_>]) -> Option<io::Result<()>> {
        let (direct, at_once) = self.direct.as_ref()?;
        let is_direct = |part: &Part<'_>| direct.takes(part.slices, part.offset);
        if parts.len() < 2 || !parts.iter().all(is_direct) {
            return None;
        }
        match at_once.write(direct.file(), parts)? {
            Err(failure) if is_refusal(&failure.error) => None,
            written => Some(written.map_err(io::Error::from)),
        }
    }
}

/// Has the file system give `file` its first `len` bytes of room now, which does not make it longer;
/// nothing where it can't do so beforehand.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file system wants more of a direct write than it says.
fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

impl DirFile for HostFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let direct = self.direct.as_ref().map(|(direct, _)| direct);
        if let Some(direct) = direct.filter(|direct| direct.takes(slices, offset)) {
            match write_all_at(direct.file(), slices, offset) {
                // all of it once more, in the other way
                Err((_, error)) if is_refusal(&error) => {}
                done => return done.map_err(|(_, error)| error),
            }
        }
        write_all_at(&self.file, slices, offset).map_err(|(_, error)| error)
    }

    fn write_parts(&self, parts: &[Part<'_>]) -> io::Result<()> {
        match self.write_at_once(parts) {
            Some(written) => written,
            None => write_in_turn(self, parts),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        reserve(&self.file, len)
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

    /// Bytes for two places, whole pages or not, and whether a ring took them.
    fn write_two(at_once: AtOnce, len: usize) -> bool {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        let direct = DirectFile::open(&path).expect("a file system with direct writes");
        let direct = Some((direct, Arc::new(at_once)));
        let file = HostFile { file, direct };
        let memory: Vec<u8> = (0..5 * 4096u32).map(|at| (at % 251) as u8).collect();
        let bytes = &memory[memory.as_ptr().align_offset(4096)..];
        let (first, second) = (&bytes[..len], &bytes[4096..4096 + 2 * len]);
        let (ends, slices) = (second.split_at(len), [IoSlice::new(first)]);
        let others = [IoSlice::new(ends.0), IoSlice::new(ends.1)];
        let parts = [
            Part {
                offset: 3 * 4096,
                slices: &others,
            },
            Part {
                offset: 0,
                slices: &slices,
            },
        ];
        let is_at_once = matches!(file.write_at_once(&parts), Some(Ok(())));
        file.set_len(0).unwrap();
        file.write_parts(&parts).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found.len(), 3 * 4096 + 2 * len);
        assert!(found[..len] == *first && found[3 * 4096..] == *second);
        assert!(found[len..3 * 4096].iter().all(|byte| *byte == 0));
        is_at_once
    }

    #[test]
    fn parts_are_written_at_once_where_that_can_be_done() {
        assert!(write_two(AtOnce::new(), 4096));
        assert!(!write_two(AtOnce::new(), 1000));
        assert!(!write_two(AtOnce::refused(), 4096));
    }
}

//! The seam to a file system: a folder, and an open file in it.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use crate::failpoint::{Failpoint, reach};
use crate::intercept::Steady;

/// A folder of a file system.
///
/// Names are single path components. Creation, renaming and removal are durable only after
/// [`sync`](Self::sync); contents only after [`DirFile::sync_data`].
pub trait Directory: Debug + Send + Sync + 'static {
    /// The path for messages and for other programs.
    fn path(&self) -> PathBuf;

    /// Names of all regular files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file that must not exist yet, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DirFile>>;

    /// As [`create`](Self::create), for a file that is written once in large pieces: whatever is
    /// aligned as the file system wants it goes past the page cache, where it can.
    fn create_direct(&self, name: &str) -> io::Result<Arc<dyn DirFile>> {
        self.create(name)
    }

    /// Says that what is written to such files comes from `memory`, as long as that lives: its pages
    /// may be held for it. It takes the place of what was said before.
    fn hold(&self, memory: &Arc<dyn Steady>) {
        let _ = memory;
    }

    /// Opens an existing file, for reading and writing if `writable`.
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DirFile>>;

    /// Moves a file to `to_name` in `to`, replacing what is there. `to` must be on the same file
    /// system and of the same implementation. Durable after both folders were synced.
    fn rename(&self, name: &str, to: &dyn Directory, to_name: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in the folder durable.
    fn sync(&self) -> io::Result<()>;

    /// Opens a sub-folder, creating it if it is missing.
    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Directory>>;

    /// Bytes that can still be written to the file system.
    fn free_bytes(&self) -> io::Result<u64>;
}

impl dyn Directory {
    /// Replaces the content of a small file: after a crash it is the old or the new content,
    /// whole; when this returns it is the new one, durably.
    pub fn write_atomic(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.tmp");
        match self.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.create(&temporary)?;
        file.write_all_at(&[IoSlice::new(content)], 0)?;
        reach(Failpoint::StateWritten)?;
        file.sync_data()?;
        drop(file);
        reach(Failpoint::StateSynced)?;
        self.rename(&temporary, self, name)?;
        reach(Failpoint::StateRenamed)?;
        self.sync()
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is longer, `NotFound` if it is not there.
    pub fn read_small(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.open(name, false)?;
        let len = file.len()?;
        match usize::try_from(len) {
            Ok(len) if len <= limit => {
                let mut content = vec![0; len];
                file.read_exact_at(&mut content, 0)?;
                Ok(content)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{name} has {len} bytes, at most {limit} are expected"),
            )),
        }
    }
}

/// Bytes for one place of a file.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Where they go, in bytes.
    pub offset: u64,
    /// One after the other.
    pub slices: &'a [IoSlice<'a>],
}

/// An open file of a [`Directory`]. All methods may be called from several threads.
pub trait DirFile: Debug + Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset` (bytes); `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all slices one after the other from `offset` (bytes), extending the file.
    fn write_all_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Writes parts that do not overlap, in any order or all at once. None is under way any more when
    /// this returns; after an error, and after the death of the process, any of them may be in the
    /// file, and any missing.
    fn write_parts(&self, parts: &[Part<'_>]) -> io::Result<()> {
        write_in_turn(self, parts)
    }

    /// Reserves space up to `len` bytes without changing the length, so that later writes need
    /// no allocation. Where the file system can't, it does nothing.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Sets the length, cutting or extending with zeroes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes content and length durable. After an error nothing is known of what was written
    /// since the last success, and a second call proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

/// Writes parts one after the other.
pub(super) fn write_in_turn<F: DirFile + ?Sized>(file: &F, parts: &[Part<'_>]) -> io::Result<()> {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            reach(Failpoint::PartWritten)?;
        }
        file.write_all_at(part.slices, part.offset)?;
    }
    Ok(())
}

//! A directory on a mounted file system as the far side.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::failpoint::{Failpoint, reach};
use aim_core::fs::{DirFile, Directory, HostDirectory};
use tokio::task::spawn_blocking;

use super::PART;
use super::name::is_component;
use super::{Entry, Name, Progress, Put, ReadAt, Transport, TransportError, pass};
use crate::file_io::Source;

/// Bytes that are copied or compared at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A directory on a mounted file system: another disk, a network file system, a disk that travels.
///
/// The directory and its folders must exist: creating them could fill an empty mount point.
#[derive(Clone)]
pub struct LocalTransport {
    root: PathBuf,
    open: Arc<OpenFolder>,
    calls: Calls,
}

/// Opens the far directory, for `""`, or a folder in it, if it exists.
type OpenFolder = dyn Fn(&str) -> io::Result<Arc<dyn Directory>> + Send + Sync;

/// Where blocking calls are made.
#[derive(Clone, Copy, Debug)]
enum Calls {
    /// Away from the coordinator's thread, in its runtime.
    Away,
    /// Where they are awaited.
    InPlace,
}

impl LocalTransport {
    /// Carries files to `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let path = root.clone();
        let open = move |folder: &str| {
            let opened = HostDirectory::open(path_of(&path, folder))?;
            Ok(opened as Arc<dyn Directory>)
        };
        Self {
            root,
            open: Arc::new(open),
            calls: Calls::Away,
        }
    }

    /// Carries files to a directory behind the seam to file systems, with calls that return
    /// quickly: they are made where they are awaited, and need no runtime.
    ///
    /// `open` gives the directory, for `""`, or a folder in it; `NotFound` if there is none.
    /// `root` is what the directory is called in messages.
    pub fn in_place(
        root: impl Into<PathBuf>,
        open: impl Fn(&str) -> io::Result<Arc<dyn Directory>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            root: root.into(),
            open: Arc::new(open),
            calls: Calls::InPlace,
        }
    }

    fn folder(&self, folder: &str) -> Result<Arc<dyn Directory>, TransportError> {
        let path = self.folder_path(folder);
        match (self.open)(folder) {
            Ok(directory) => Ok(directory),
            Err(error) => Err(failed(&path, None, error)),
        }
    }

    fn folder_path(&self, folder: &str) -> PathBuf {
        path_of(&self.root, folder)
    }

    /// What is there already of the file, and whether that is all of it; opens what is to be gone
    /// on with, where it is not.
    async fn take_up(&self, upload: &Upload<'_>) -> Result<(u64, Option<File>), TransportError> {
        if let Some(file) = upload.open(upload.name.file(), false).await? {
            let len = file.len().await?;
            let may_be = upload.source.exact_len().is_none_or(|own| own == len);
            if may_be && upload.common_prefix(&file, len).await? == (len, true) {
                file.sync().await?;
                return Ok((len, None));
            }
        }
        match upload.open(&upload.part, true).await? {
            None => Ok((0, Some(upload.create().await?))),
            Some(file) => {
                let len = file.len().await?;
                let (kept, _) = upload.common_prefix(&file, len).await?;
                if kept < len {
                    file.set_len(kept).await?;
                }
                Ok((kept, Some(file)))
            }
        }
    }
}

impl fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalTransport({})", self.root.display())
    }
}

impl Transport for LocalTransport {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        let path = self.folder_path(folder);
        if !folder.is_empty() && !is_component(folder) {
            let place = path.display().to_string();
            return Err(TransportError::NotFound { place });
        }
        let directory = self.folder(folder)?;
        blocking(self.calls, &path, None, move || {
            let mut entries = Vec::new();
            for name in directory.list()? {
                match directory.open(&name, false).and_then(|file| file.len()) {
                    Ok(len) => entries.push(Entry { name, len }),
                    // gone since it was listed
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(entries)
        })
        .await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let upload = Upload {
            directory: self.folder(name.folder())?,
            name,
            part: format!("{}{PART}", name.file()),
            source,
            calls: self.calls,
        };
        let (kept, to_be_filled) = self.take_up(&upload).await?;
        progress.add_reused(kept);
        let Some(file) = to_be_filled else {
            upload.sync_directory().await?;
            return Ok(Put {
                sent: 0,
                reused: kept,
            });
        };
        let end = upload.write_from(&file, kept, progress).await?;
        pass(Failpoint::PutWritten, &upload.part)?;
        file.sync().await?;
        pass(Failpoint::PutSynced, &upload.part)?;
        upload.finish().await?;
        Ok(Put {
            sent: end - kept,
            reused: kept,
        })
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let directory = self.folder(name.folder())?;
        let path = self.root.join(name.as_str());
        let file = name.file().to_owned();
        match self
            .calls
            .run(move || directory.read_small(&file, limit))
            .await
        {
            Ok(content) => Ok(content),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let place = path.display().to_string();
                Err(TransportError::TooLarge { place, limit })
            }
            Err(error) => Err(failed(&path, None, error)),
        }
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        let directory = self.folder(name.folder())?;
        let file = name.file().to_owned();
        blocking(
            self.calls,
            &self.root.join(name.as_str()),
            None,
            move || match directory.remove(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => directory.sync(),
            },
        )
        .await
    }
}

impl ReadAt for LocalTransport {
    async fn read_at(
        &self,
        name: &Name,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let directory = self.folder(name.folder())?;
        let file = name.file().to_owned();
        blocking(
            self.calls,
            &self.root.join(name.as_str()),
            None,
            move || {
                let file = directory.open(&file, false)?;
                let there = file.len()?.saturating_sub(offset);
                let there = usize::try_from(there).unwrap_or(usize::MAX);
                let mut buffer = vec![0; len.min(there)];
                file.read_exact_at(&mut buffer, offset)?;
                Ok(buffer)
            },
        )
        .await
    }
}

/// One file on its way.
struct Upload<'a> {
    directory: Arc<dyn Directory>,
    name: &'a Name,
    part: String,
    source: &'a Source,
    calls: Calls,
}

impl Upload<'_> {
    async fn open(&self, name: &str, writable: bool) -> Result<Option<File>, TransportError> {
        let path = self.directory.path().join(name);
        let directory = Arc::clone(&self.directory);
        let name = name.to_owned();
        let opened = blocking(self.calls, &path, None, move || {
            match directory.open(&name, writable) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            }
        });
        Ok(opened.await?.map(|file| self.file(file, path)))
    }

    async fn create(&self) -> Result<File, TransportError> {
        let path = self.directory.path().join(&self.part);
        let directory = Arc::clone(&self.directory);
        let part = self.part.clone();
        let created = blocking(self.calls, &path, Some(&self.directory), move || {
            directory.create(&part)
        });
        Ok(self.file(created.await?, path))
    }

    fn file(&self, file: Arc<dyn DirFile>, path: PathBuf) -> File {
        File {
            file,
            path,
            directory: Arc::clone(&self.directory),
            calls: self.calls,
        }
    }

    /// Bytes from the start in which `file`, of `len` bytes, is the same as the source, and whether
    /// the source has no more.
    async fn common_prefix(&self, file: &File, len: u64) -> Result<(u64, bool), TransportError> {
        let mut chunks = self.source.chunks(0, CHUNK_BYTES);
        let mut same = 0;
        while let Some(chunk) = self.next(&mut chunks).await? {
            let there = usize::try_from(len - same).unwrap_or(usize::MAX);
            let theirs = file.read(same, chunk.len().min(there)).await?;
            let equal = chunk.iter().zip(&theirs).take_while(|(a, b)| a == b);
            let equal = equal.count();
            same += equal as u64;
            if equal < chunk.len() {
                return Ok((same, false));
            }
        }
        Ok((same, true))
    }

    /// Writes what the source holds from `offset` on. Gives its length.
    async fn write_from(
        &self,
        file: &File,
        mut offset: u64,
        progress: &Progress,
    ) -> Result<u64, TransportError> {
        let mut chunks = self.source.chunks(offset, CHUNK_BYTES);
        while let Some(chunk) = self.next(&mut chunks).await? {
            let len = chunk.len() as u64;
            progress.admit(len).await;
            file.write(offset, chunk).await?;
            offset += len;
            progress.add_sent(len);
        }
        Ok(offset)
    }

    async fn next(
        &self,
        chunks: &mut crate::file_io::Chunks,
    ) -> Result<Option<Vec<u8>>, TransportError> {
        chunks
            .next()
            .await
            .map_err(|source| TransportError::Source {
                path: self.source.path().to_owned(),
                source,
            })
    }

    /// Gives the synced file its name, durably.
    async fn finish(&self) -> Result<(), TransportError> {
        let path = self.directory.path().join(self.name.file());
        let directory = Arc::clone(&self.directory);
        let part = self.part.clone();
        let name = self.name.file().to_owned();
        blocking(self.calls, &path, Some(&self.directory), move || {
            directory.rename(&part, &*directory, &name)?;
            reach(Failpoint::PutRenamed)?;
            directory.sync()
        })
        .await
    }

    async fn sync_directory(&self) -> Result<(), TransportError> {
        let directory = Arc::clone(&self.directory);
        let path = self.directory.path();
        blocking(self.calls, &path, None, move || directory.sync()).await
    }
}

/// An open file of the far directory.
struct File {
    file: Arc<dyn DirFile>,
    path: PathBuf,
    directory: Arc<dyn Directory>,
    calls: Calls,
}

impl File {
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn DirFile) -> io::Result<T> + Send + 'static,
    ) -> Result<T, TransportError> {
        let file = Arc::clone(&self.file);
        let call = move || call(&*file);
        blocking(self.calls, &self.path, Some(&self.directory), call).await
    }

    async fn len(&self) -> Result<u64, TransportError> {
        self.call(|file| file.len()).await
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, TransportError> {
        self.call(move |file| {
            let mut buffer = vec![0; len];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(buffer)
        })
        .await
    }

    async fn write(&self, offset: u64, data: Vec<u8>) -> Result<(), TransportError> {
        self.call(move |file| file.write_all_at(&[IoSlice::new(&data)], offset))
            .await
    }

    async fn set_len(&self, len: u64) -> Result<(), TransportError> {
        self.call(move |file| file.set_len(len)).await
    }

    async fn sync(&self) -> Result<(), TransportError> {
        self.call(|file| file.sync_data()).await
    }
}

impl Calls {
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Self::Away => {
                let done = spawn_blocking(work).await;
                done.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            Self::InPlace => work(),
        }
    }
}

/// Does blocking work that concerns `path`.
async fn blocking<T: Send + 'static>(
    calls: Calls,
    path: &Path,
    directory: Option<&Arc<dyn Directory>>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, TransportError> {
    calls.run(work).await.map_err(|error| {
        let free = directory.and_then(|directory| directory.free_bytes().ok());
        failed(path, free, error)
    })
}

fn path_of(root: &Path, folder: &str) -> PathBuf {
    match folder {
        "" => root.to_owned(),
        folder => root.join(folder),
    }
}

fn failed(path: &Path, free: Option<u64>, error: io::Error) -> TransportError {
    TransportError::from_io(path.display().to_string(), free, error)
}

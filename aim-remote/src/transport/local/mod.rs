//! A directory on a mounted file system as the far side.

mod calls;
mod upload;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::failpoint::Failpoint;
use aim_core::fs::{Directory, HostDirectory};
use calls::{Calls, blocking, failed};
use upload::Upload;

use super::PART;
use super::name::is_component;
use super::{Entry, Name, Progress, Put, ReadAt, Transport, TransportError, pass};
use crate::file_io::Source;

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
        let (kept, to_be_filled) = upload.take_up().await?;
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

fn path_of(root: &Path, folder: &str) -> PathBuf {
    match folder {
        "" => root.to_owned(),
        folder => root.join(folder),
    }
}

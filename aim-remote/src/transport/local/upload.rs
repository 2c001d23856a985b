//! A file on its way to a mounted file system: what is there already stays, the rest is written.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use aim_core::failpoint::{Failpoint, reach};
use aim_core::fs::{DirFile, Directory};

use super::calls::{Calls, blocking};
use crate::file_io::{Chunks, Source};
use crate::transport::{Name, Progress, TransportError};

/// Bytes that are copied or compared at once.
const CHUNK_BYTES: usize = 1 << 20;

/// One file on its way.
pub(super) struct Upload<'a> {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) name: &'a Name,
    pub(super) part: String,
    pub(super) source: &'a Source,
    pub(super) calls: Calls,
}

impl Upload<'_> {
    /// What is there already of the file, and whether that is all of it; opens what is to be gone
    /// on with, where it is not.
    pub(super) async fn take_up(&self) -> Result<(u64, Option<File>), TransportError> {
        if let Some(file) = self.open(self.name.file(), false).await? {
            let len = file.len().await?;
            let may_be = self.source.exact_len().is_none_or(|own| own == len);
            if may_be && self.common_prefix(&file, len).await? == (len, true) {
                file.sync().await?;
                return Ok((len, None));
            }
        }
        match self.open(&self.part, true).await? {
            None => Ok((0, Some(self.create().await?))),
            Some(file) => {
                let len = file.len().await?;
                let (kept, _) = self.common_prefix(&file, len).await?;
                if kept < len {
                    file.set_len(kept).await?;
                }
                Ok((kept, Some(file)))
            }
        }
    }

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
    pub(super) async fn write_from(
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

    async fn next(&self, chunks: &mut Chunks) -> Result<Option<Vec<u8>>, TransportError> {
        chunks
            .next()
            .await
            .map_err(|source| TransportError::Source {
                path: self.source.path().to_owned(),
                source,
            })
    }

    /// Gives the synced file its name, durably.
    pub(super) async fn finish(&self) -> Result<(), TransportError> {
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

    pub(super) async fn sync_directory(&self) -> Result<(), TransportError> {
        let directory = Arc::clone(&self.directory);
        let path = self.directory.path();
        blocking(self.calls, &path, None, move || directory.sync()).await
    }
}

/// An open file of the far directory.
pub(super) struct File {
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

    pub(super) async fn sync(&self) -> Result<(), TransportError> {
        self.call(|file| file.sync_data()).await
    }
}

//! What is asked of a far folder, and of small files in it, in few round trips.
//!
//! On a long line each answer that has to be waited for counts: what follows without knowing the
//! answer is sent along with the question.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{File, FileAttributes, OpenFlags, StatusCode};
use tokio::task::JoinSet;

use super::session::{Session, piece_len};
use crate::transport::{Entry, TransportError};

/// Files in a folder past which a listing is refused.
const ENTRIES_MAX: usize = 1 << 20;

/// Requests for names that are in flight at once. An OpenSSH server gives a hundred names for each.
const LISTINGS_IN_FLIGHT: usize = 4;

/// A far folder that is open, to be synced.
pub(super) struct OpenFolder {
    handle: String,
}

impl Session {
    /// The regular files of a folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        let opening = self.raw.opendir(folder);
        let handle = self.ask(folder, "opening a folder", opening).await?.handle;
        let listed = self.names(folder, &handle).await;
        self.close_unheard(handle);
        let files = listed?.into_iter().filter(|file| file.attrs.is_regular());
        let entries = files.map(|file| Entry {
            name: file.filename,
            len: file.attrs.size.unwrap_or(0),
        });
        Ok(entries.collect())
    }

    /// All names of an open folder. Each request continues where the one before ended, in
    /// whichever order the answers come; the end is known once one of them says so, and all have
    /// been answered.
    async fn names(&self, folder: &str, handle: &str) -> Result<Vec<File>, TransportError> {
        let mut names = Vec::new();
        let mut is_end = false;
        while !is_end {
            if names.len() >= ENTRIES_MAX {
                return Err(TransportError::Refused {
                    place: self.place(folder),
                    reason: format!("more than {ENTRIES_MAX} files are in it"),
                });
            }
            let mut readings = JoinSet::new();
            for _ in 0..LISTINGS_IN_FLIGHT {
                let (raw, handle) = (self.raw.clone(), handle.to_owned());
                readings.spawn(async move { raw.readdir(handle).await });
            }
            while !readings.is_empty() {
                let reading = async {
                    match readings.join_next().await {
                        None => Ok(Vec::new()),
                        Some(Ok(Ok(answer))) => Ok(answer.files),
                        Some(Ok(Err(SftpError::Status(status))))
                            if status.status_code == StatusCode::Eof =>
                        {
                            is_end = true;
                            Ok(Vec::new())
                        }
                        Some(Ok(Err(error))) => Err(error),
                        Some(Err(error)) => Err(SftpError::UnexpectedBehavior(error.to_string())),
                    }
                };
                names.extend(self.ask(folder, "listing a folder", reading).await?);
            }
        }
        Ok(names)
    }

    /// Reads a whole small file of at most `limit` bytes.
    pub(crate) async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, TransportError> {
        let handle = self.open(path, OpenFlags::READ).await?;
        let content = self.content(path, &handle, limit).await;
        self.close_unheard(handle);
        content
    }

    async fn content(
        &self,
        path: &str,
        handle: &str,
        limit: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let mut content = Vec::new();
        loop {
            let reading = async {
                let (offset, len) = (content.len() as u64, piece_len(self.piece));
                match self.raw.read(handle, offset, len).await {
                    Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                        Ok(Vec::new())
                    }
                    answer => answer.map(|data| data.data),
                }
            };
            let piece = self.ask(path, "reading a file", reading).await?;
            // the protocol promises as much of a regular file as is asked for, up to its end
            let is_end = piece.len() < self.piece;
            content.extend(piece);
            if content.len() > limit {
                let place = self.place(path);
                return Err(TransportError::TooLarge { place, limit });
            }
            if is_end {
                return Ok(content);
            }
        }
    }

    /// Removes a file, durably.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), TransportError> {
        let removing = self.raw.remove(path);
        let removing = self.ask_optional(path, "removing a file", removing);
        let (removed, folder) = tokio::join!(removing, self.open_folder(parent(path)));
        let folder = folder?;
        let removed = removed.map(drop);
        match folder {
            Some(folder) => self.sync_folder(folder).await.and(removed),
            None => removed,
        }
    }

    /// Opens a folder like a file, as OpenSSH allows it; `None` where the server does not.
    pub(super) async fn open_folder(
        &self,
        folder: &str,
    ) -> Result<Option<OpenFolder>, TransportError> {
        let flags = OpenFlags::READ;
        let opening = self.raw.open(folder, flags, FileAttributes::empty());
        let opened = self.answer("opening a folder", opening).await?;
        Ok(opened.ok().map(|handle| OpenFolder {
            handle: handle.handle,
        }))
    }

    /// Makes the names in a folder durable, if the server can. Says whether it did.
    pub(super) async fn sync_folder(&self, folder: OpenFolder) -> Result<bool, TransportError> {
        let synced = self.try_sync("syncing a folder", &folder.handle).await;
        self.close_unheard(folder.handle);
        Ok(synced?.is_ok())
    }
}

/// The folder of a path.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

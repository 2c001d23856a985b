//! A running SFTP session.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::rawsession::Limits;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::failure::{failure, free_bytes, is_missing};
use crate::transport::{Entry, TransportError};

/// Largest piece that is read or written at once, where the server allows it: with the header
/// of its request it stays below the 256 KiB that OpenSSH takes as one packet.
pub(super) const PIECE_BYTES_MAX: usize = 255 * 1024;

/// What a server takes that does not tell its limits: the least that the protocol demands.
const PIECE_BYTES_UNKNOWN: usize = 32 * 1024;

/// Files in a folder past which a listing is refused.
const ENTRIES_MAX: usize = 1 << 20;

/// A sync may take this many times as long as anything else: a slow disk has a whole file to
/// store. Nothing is being sent meanwhile, so the keep-alive notices a peer that is gone.
const SYNC_PATIENCE: u32 = 10;

/// Free bytes below which a refused sync or rename is taken for a full disk.
const SPACE_FOR_NAMES: u64 = 1 << 20;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";
const LIMITS: &str = "limits@openssh.com";

/// A session with a server that can make files durable.
pub(crate) struct Session {
    pub(super) raw: Arc<RawSftpSession>,
    pub(super) host: String,
    pub(super) progress_timeout: Duration,
    /// Bytes of one read or write request.
    pub(super) piece: usize,
    /// What the server says it can do, by name.
    pub(super) extensions: Vec<String>,
}

impl Session {
    /// Starts SFTP on a byte stream to `host` (its name is for messages). The first answer may
    /// take `start_timeout`, each later one `progress_timeout`.
    ///
    /// # Errors
    ///
    /// [`TransportError::ServerLacks`] where the server can't sync or can't replace a file.
    pub(crate) async fn start(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        host: &str,
        start_timeout: Duration,
        progress_timeout: Duration,
    ) -> Result<Self, TransportError> {
        let config = Config {
            // a request waits behind all that were sent before it: its age says nothing
            request_timeout_secs: u64::MAX,
            ..Config::default()
        };
        let mut raw = RawSftpSession::new_with_config(stream, config);
        let version = within(host, start_timeout, "starting SFTP", raw.init())
            .await?
            .map_err(|error| failure(host, host.to_owned(), &error))?;
        for (extension, need) in [
            (FSYNC, "a file must be durable before the local one goes"),
            (POSIX_RENAME, "a file must get its name in one step"),
        ] {
            if !version.extensions.contains_key(extension) {
                return Err(TransportError::ServerLacks {
                    host: host.to_owned(),
                    extension,
                    need,
                });
            }
        }
        let mut extensions: Vec<String> = version.extensions.keys().cloned().collect();
        extensions.sort();
        let mut piece = PIECE_BYTES_UNKNOWN;
        if version.extensions.contains_key(LIMITS) {
            let limits = within(host, progress_timeout, "asking for limits", raw.limits())
                .await?
                .map_err(|error| failure(host, host.to_owned(), &error))?;
            let limits = Limits::from(limits);
            piece = piece_within(&limits);
            raw.set_limits(limits);
        }
        Ok(Self {
            raw: Arc::new(raw),
            host: host.to_owned(),
            progress_timeout,
            piece,
            extensions,
        })
    }

    /// Waits for one answer about `path`.
    pub(super) async fn ask<T>(
        &self,
        path: &str,
        doing: &'static str,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<T, TransportError> {
        within(&self.host, self.progress_timeout, doing, request)
            .await?
            .map_err(|error| failure(&self.host, self.place(path), &error))
    }

    /// Like [`ask`](Self::ask), `None` where the path does not exist.
    pub(super) async fn ask_optional<T>(
        &self,
        path: &str,
        doing: &'static str,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<Option<T>, TransportError> {
        match within(&self.host, self.progress_timeout, doing, request).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failure(&self.host, self.place(path), &error)),
        }
    }

    /// Like [`ask`](Self::ask) for what takes up space: a plain "failure" may mean a full disk.
    pub(super) async fn ask_for_space<T>(
        &self,
        path: &str,
        needed: u64,
        doing: &'static str,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<T, TransportError> {
        match within(&self.host, self.progress_timeout, doing, request).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.space_failure(path, needed, &error).await),
        }
    }

    /// Finds out whether a request on `path` failed for want of `needed` bytes.
    pub(super) async fn space_failure(
        &self,
        path: &str,
        needed: u64,
        error: &SftpError,
    ) -> TransportError {
        let plain = failure(&self.host, self.place(path), error);
        if !matches!(plain, TransportError::Refused { .. }) {
            return plain;
        }
        let folder = parent(path).to_owned();
        let asked = self.ask(
            &folder,
            "asking for free space",
            self.raw.statvfs(folder.clone()),
        );
        match asked.await {
            Ok(stat) if free_bytes(&stat) < needed => TransportError::NoSpace {
                place: self.place(path),
                free: free_bytes(&stat),
            },
            _ => plain,
        }
    }

    pub(super) async fn open(
        &self,
        path: &str,
        flags: OpenFlags,
    ) -> Result<String, TransportError> {
        let request = self.raw.open(path, flags, FileAttributes::empty());
        Ok(self.ask(path, "opening a file", request).await?.handle)
    }

    pub(super) async fn open_optional(
        &self,
        path: &str,
        flags: OpenFlags,
    ) -> Result<Option<String>, TransportError> {
        let request = self.raw.open(path, flags, FileAttributes::empty());
        let handle = self.ask_optional(path, "opening a file", request).await?;
        Ok(handle.map(|handle| handle.handle))
    }

    pub(super) async fn close(&self, path: &str, handle: &str) -> Result<(), TransportError> {
        self.ask(path, "closing a file", self.raw.close(handle))
            .await?;
        Ok(())
    }

    pub(super) async fn len(&self, path: &str, handle: &str) -> Result<u64, TransportError> {
        let stat = self.ask(path, "asking for a length", self.raw.fstat(handle));
        stat.await?
            .attrs
            .size
            .ok_or_else(|| TransportError::Refused {
                place: self.place(path),
                reason: "the server does not tell its length".to_owned(),
            })
    }

    /// Replaces `to` by `from` in one step.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), TransportError> {
        let request = [wire_string(from), wire_string(to)].concat();
        let renaming = async {
            match self.raw.extended(POSIX_RENAME, request).await? {
                Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
                Packet::Status(status) => Err(status.into()),
                _ => Err(SftpError::UnexpectedPacket),
            }
        };
        self.ask_for_space(to, SPACE_FOR_NAMES, "renaming a file", renaming)
            .await
    }

    /// The regular files of a folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        let opening = self.raw.opendir(folder);
        let handle = self.ask(folder, "opening a folder", opening).await?.handle;
        let mut entries = Vec::new();
        while entries.len() < ENTRIES_MAX {
            let reading = async {
                match self.raw.readdir(handle.as_str()).await {
                    Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                        Ok(None)
                    }
                    answer => answer.map(Some),
                }
            };
            let Some(names) = self.ask(folder, "listing a folder", reading).await? else {
                self.close(folder, &handle).await?;
                return Ok(entries);
            };
            let files = names
                .files
                .into_iter()
                .filter(|file| file.attrs.is_regular());
            entries.extend(files.map(|file| Entry {
                name: file.filename,
                len: file.attrs.size.unwrap_or(0),
            }));
        }
        Err(TransportError::Refused {
            place: self.place(folder),
            reason: format!("more than {ENTRIES_MAX} files are in it"),
        })
    }

    /// Reads a whole file of at most `limit` bytes.
    pub(crate) async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, TransportError> {
        let handle = self.open(path, OpenFlags::READ).await?;
        let mut content = Vec::new();
        let result = loop {
            let reading = async {
                match self
                    .raw
                    .read(handle.as_str(), content.len() as u64, piece_len(self.piece))
                    .await
                {
                    Err(SftpError::Status(status)) if status.status_code == StatusCode::Eof => {
                        Ok(Vec::new())
                    }
                    answer => answer.map(|data| data.data),
                }
            };
            let piece = self.ask(path, "reading a file", reading).await?;
            if piece.is_empty() {
                break Ok(content);
            }
            content.extend(piece);
            if content.len() > limit {
                let place = self.place(path);
                break Err(TransportError::TooLarge { place, limit });
            }
        };
        self.close(path, &handle).await?;
        result
    }

    /// Removes a file, durably.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), TransportError> {
        let removing = self.raw.remove(path);
        self.ask_optional(path, "removing a file", removing).await?;
        self.sync_folder(parent(path)).await?;
        Ok(())
    }

    pub(super) async fn sync(&self, path: &str, handle: &str) -> Result<(), TransportError> {
        let limit = self.progress_timeout * SYNC_PATIENCE;
        let syncing = self.raw.fsync(handle);
        match within(&self.host, limit, "syncing a file", syncing).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(self.space_failure(path, SPACE_FOR_NAMES, &error).await),
        }
    }

    /// Makes the names in a folder durable, if the server can: OpenSSH opens and syncs a folder
    /// like a file. Says whether it did.
    pub(super) async fn sync_folder(&self, folder: &str) -> Result<bool, TransportError> {
        let opening = self
            .raw
            .open(folder, OpenFlags::READ, FileAttributes::empty());
        let limit = self.progress_timeout;
        let opened = within(&self.host, limit, "opening a folder", opening).await?;
        let Ok(handle) = opened else {
            return Ok(false);
        };
        let syncing = self.raw.fsync(handle.handle.as_str());
        let synced = within(&self.host, limit, "syncing a folder", syncing).await?;
        self.close(folder, &handle.handle).await?;
        Ok(synced.is_ok())
    }

    fn place(&self, path: &str) -> String {
        format!("{}:{path}", self.host)
    }
}

/// A string as the protocol carries it.
#[expect(
    clippy::big_endian_bytes,
    reason = "the byte order of the SFTP protocol"
)]
fn wire_string(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The folder of a path.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

/// The length of a piece, which is at most 255 KiB, as the protocol carries it.
pub(super) fn piece_len(piece: usize) -> u32 {
    u32::try_from(piece).unwrap_or(u32::MAX)
}

fn piece_within(limits: &Limits) -> usize {
    let allowed = [limits.read_len, limits.write_len];
    let least = allowed.into_iter().flatten().min();
    match least.map(usize::try_from) {
        Some(Ok(least)) => least.clamp(1024, PIECE_BYTES_MAX),
        Some(Err(_)) => PIECE_BYTES_MAX,
        None => PIECE_BYTES_UNKNOWN,
    }
}

/// Gives an answer its time.
pub(super) async fn within<T>(
    host: &str,
    after: Duration,
    doing: &'static str,
    answer: impl Future<Output = T>,
) -> Result<T, TransportError> {
    timeout(after, answer)
        .await
        .map_err(|_| TransportError::Timeout {
            host: host.to_owned(),
            doing,
            after,
        })
}

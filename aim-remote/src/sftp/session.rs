//! A running SFTP session.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::rawsession::Limits;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::failure::{failure, free_bytes, is_missing};
use super::folder::parent;
use crate::transport::{TransportError, bytes_free};

/// Largest piece that is read or written at once, where the server allows it: with the header
/// of its request it stays below the 256 KiB that OpenSSH takes as one packet.
pub(super) const PIECE_BYTES_MAX: usize = 255 * 1024;

/// What a server takes that does not tell its limits: the least that the protocol demands.
const PIECE_BYTES_UNKNOWN: usize = 32 * 1024;

/// A sync may take this many times as long as anything else: a slow disk has a whole file to
/// store. Nothing is being sent meanwhile, so the keep-alive notices a peer that is gone.
const SYNC_PATIENCE: u32 = 10;

/// Free bytes below which a refused sync or rename is taken for a full disk.
pub(super) const SPACE_FOR_NAMES: u64 = 1 << 20;

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
    /// Syncs that are sent and not answered: a server takes one request of a session after the
    /// other, so that all that is sent after them waits for them. One that nobody waits for any
    /// more stays counted.
    syncs: AtomicUsize,
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
            syncs: AtomicUsize::new(0),
        })
    }

    /// Waits for one answer about `path`.
    pub(super) async fn ask<T>(
        &self,
        path: &str,
        doing: &'static str,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<T, TransportError> {
        self.answer(doing, request)
            .await?
            .map_err(|error| failure(&self.host, self.place(path), &error))
    }

    /// Waits for one answer, for as long as the server may take for what is sent now.
    pub(super) async fn answer<T>(
        &self,
        doing: &'static str,
        request: impl Future<Output = T>,
    ) -> Result<T, TransportError> {
        let limit = match self.syncs.load(Ordering::Relaxed) {
            0 => self.progress_timeout,
            _ => self.progress_timeout * SYNC_PATIENCE,
        };
        within(&self.host, limit, doing, request).await
    }

    /// Like [`ask`](Self::ask), `None` where the path does not exist.
    pub(super) async fn ask_optional<T>(
        &self,
        path: &str,
        doing: &'static str,
        request: impl Future<Output = Result<T, SftpError>>,
    ) -> Result<Option<T>, TransportError> {
        match self.answer(doing, request).await? {
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
        match self.answer(doing, request).await? {
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
                reason: bytes_free(free_bytes(&stat)),
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

    /// Closes what was only read or synced: nothing depends on the answer.
    pub(super) fn close_unheard(&self, handle: String) {
        let raw = Arc::clone(&self.raw);
        tokio::spawn(async move { raw.close(handle).await });
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

    pub(super) async fn sync(&self, path: &str, handle: &str) -> Result<(), TransportError> {
        match self.try_sync("syncing a file", handle).await? {
            Ok(()) => Ok(()),
            Err(error) => Err(self.space_failure(path, SPACE_FOR_NAMES, &error).await),
        }
    }

    /// Syncs what is open. The inner error is the server's.
    pub(super) async fn try_sync(
        &self,
        doing: &'static str,
        handle: &str,
    ) -> Result<Result<(), SftpError>, TransportError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer(doing, self.raw.fsync(handle)).await?;
        self.syncs.fetch_sub(1, Ordering::Relaxed);
        Ok(answer.map(drop))
    }

    pub(super) fn place(&self, path: &str) -> String {
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

//! Storing a file so that it is whole and durable, or not there.
//!
//! 1. Open `NAME`, and make `NAME.part` if it is not there yet. If `NAME` has the content of the
//!    source: sync it and its folder, done.
//! 2. If `NAME.part` was there, keep of it what is the same as the source, and cut the rest.
//! 3. Write on from there, many requests in flight.
//! 4. Compare the length and sync.
//! 5. Close `NAME.part`, and rename it to `NAME` in one step.
//! 6. Sync the folder; where the server can't, open `NAME` again and sync that, which on Linux's
//!    journalling file systems makes the rename durable too.
//!
//! A stop before 5 leaves `NAME.part` for the next call to go on with; after 5, the next call
//! ends at 1. Whoever reads the folder sees `NAME` only with all of its content. What belongs to
//! one step is sent together: a file that is new costs five round trips.

use std::pin::pin;
use std::sync::Arc;

use aim_core::failpoint::Failpoint;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::compare::{Common, common_prefix, next_chunk};
use super::folder::{OpenFolder, parent};
use super::session::Session;
use crate::file_io::Source;
use crate::transport::{PART, Progress, Put, TransportError, pass};

/// Write requests of one file that are in flight at once: with full pieces 16 MiB, enough for a
/// long line on a server that takes as much.
const WRITES_IN_FLIGHT: usize = 64;

/// Write requests of all files of a connection that are in flight at once: with full pieces
/// 32 MiB of memory, and on eight channels twice what an OpenSSH server takes on each.
pub(crate) const WRITES_MAX: usize = 128;

type Writes = JoinSet<(u64, Result<Status, SftpError>)>;

/// Stores `source` at `path`, taking a permit of `room` for each write that is in flight.
pub(crate) async fn put(
    session: &Session,
    room: &Arc<Semaphore>,
    path: &str,
    source: &Source,
    progress: &Progress,
) -> Result<Put, TransportError> {
    let part = format!("{path}{PART}");
    let (whole, fresh) = tokio::join!(
        session.open_optional(path, OpenFlags::READ),
        create(session, &part)
    );
    let fresh = fresh?;
    let there = match whole {
        Ok(Some(handle)) => {
            let there = same_as(session, path, &handle, source).await;
            session.close_unheard(handle);
            there
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    if !matches!(there, Ok(None))
        && let Some(made_now) = &fresh
    {
        session.close(&part, made_now).await?;
        session.remove(&part).await?;
    }
    if let Some(len) = there? {
        progress.add_reused(len);
        return Ok(Put {
            sent: 0,
            reused: len,
        });
    }
    let (handle, len) = match fresh {
        Some(handle) => (handle, 0),
        None => open_part(session, &part, source).await?,
    };
    let file = OpenPart {
        path: &part,
        handle: &handle,
        len,
    };
    let filled = fill(session, room, file, source, progress).await;
    let (put, folder) = match filled {
        // the handle went with its connection
        Err(error) if error.breaks_connection() => return Err(error),
        Err(error) => {
            session.close(&part, &handle).await?;
            return Err(error);
        }
        Ok(filled) => filled,
    };
    pass(Failpoint::PutSynced, path)?;
    let (closed, renamed) =
        tokio::join!(session.close(&part, &handle), session.rename(&part, path));
    closed.and(renamed)?;
    pass(Failpoint::PutRenamed, path)?;
    let is_synced = match folder {
        Some(folder) => session.sync_folder(folder).await?,
        None => false,
    };
    if !is_synced {
        sync_by_name(session, path).await?;
    }
    Ok(put)
}

/// Makes a file that is not there; `None` if that can't be done, as because it is there.
async fn create(session: &Session, path: &str) -> Result<Option<String>, TransportError> {
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
    let creating = session.raw.open(path, flags, FileAttributes::empty());
    let created = session.answer("creating a file", creating).await?;
    Ok(created.ok().map(|handle| handle.handle))
}

/// Opens what an interrupted call left, or says why it can't be created either. Gives its length
/// as well.
async fn open_part(
    session: &Session,
    path: &str,
    source: &Source,
) -> Result<(String, u64), TransportError> {
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let opening = session.raw.open(path, flags, FileAttributes::empty());
    let needed = source.len_max();
    let opened = session.ask_for_space(path, needed, "creating a file", opening);
    let handle = opened.await?.handle;
    let len = session.len(path, &handle).await?;
    Ok((handle, len))
}

/// The length of the open file if it is the same as the source; it and its name are durable then
/// when this returns.
async fn same_as(
    session: &Session,
    path: &str,
    handle: &str,
    source: &Source,
) -> Result<Option<u64>, TransportError> {
    let len = session.len(path, handle).await?;
    if source.exact_len().is_some_and(|own| own != len)
        || common_prefix(session, path, handle, len, source).await? != Common::all(len)
    {
        return Ok(None);
    }
    session.sync(path, handle).await?;
    if let Some(folder) = session.open_folder(parent(path)).await? {
        session.sync_folder(folder).await?;
    }
    Ok(Some(len))
}

/// The far file that is being written.
#[derive(Clone, Copy)]
struct OpenPart<'a> {
    path: &'a str,
    handle: &'a str,
    /// Bytes that an interrupted call left in it.
    len: u64,
}

/// Makes the open file the same as the source, and syncs it. Gives its folder too, opened, where
/// the server opens folders.
async fn fill(
    session: &Session,
    room: &Arc<Semaphore>,
    part: OpenPart<'_>,
    source: &Source,
    progress: &Progress,
) -> Result<(Put, Option<OpenFolder>), TransportError> {
    let OpenPart { path, handle, len } = part;
    let common = match len {
        0 => Common::NOTHING,
        len => common_prefix(session, path, handle, len, source).await?,
    };
    let kept = common.bytes;
    if kept < len {
        let cut = FileAttributes {
            size: Some(kept),
            ..FileAttributes::empty()
        };
        let cutting = session.raw.fsetstat(handle, cut);
        session.ask(path, "cutting a file", cutting).await?;
    }
    progress.add_reused(kept);
    let end = match common.is_all {
        true => kept,
        false => write_from(session, room, path, handle, kept, source, progress).await?,
    };
    pass(Failpoint::PutWritten, path)?;
    // in this order: what is asked behind a sync is answered after it
    let (len, folder, synced) = tokio::join!(
        biased;
        session.len(path, handle),
        session.open_folder(parent(path)),
        session.sync(path, handle)
    );
    let len = len?;
    if len != end {
        return Err(TransportError::Refused {
            place: path.to_owned(),
            reason: format!("has {len} bytes after {end} were written"),
        });
    }
    synced?;
    let put = Put {
        sent: end - kept,
        reused: kept,
    };
    Ok((put, folder?))
}

/// Writes what the source holds from `offset` on. Gives its length.
async fn write_from(
    session: &Session,
    room: &Arc<Semaphore>,
    path: &str,
    handle: &str,
    mut offset: u64,
    source: &Source,
    progress: &Progress,
) -> Result<u64, TransportError> {
    let mut chunks = source.chunks(offset, session.piece);
    let mut writes = Writes::new();
    while let Some(chunk) = next_chunk(&mut chunks, source).await? {
        let (at, len) = (offset, chunk.len() as u64);
        let rest = source.len_max().saturating_sub(offset);
        let mut turn = pin!(async {
            progress.admit(len).await;
            Arc::clone(room).acquire_owned().await
        });
        let permit = loop {
            let is_full = writes.len() >= WRITES_IN_FLIGHT;
            tokio::select! {
                biased;
                permit = &mut turn, if !is_full => break permit,
                written = settle(session, path, &mut writes, rest), if !writes.is_empty() => {
                    progress.add_sent(written?);
                }
            }
        };
        let raw = Arc::clone(&session.raw);
        let handle = handle.to_owned();
        writes.spawn(async move {
            let written = raw.write(handle, at, chunk).await;
            drop(permit);
            (len, written)
        });
        offset += len;
    }
    while !writes.is_empty() {
        progress.add_sent(settle(session, path, &mut writes, 0).await?);
    }
    Ok(offset)
}

/// Waits for one of the writes in flight and returns its length; `rest` bytes are still to be
/// sent besides them.
async fn settle(
    session: &Session,
    path: &str,
    writes: &mut Writes,
    rest: u64,
) -> Result<u64, TransportError> {
    let in_flight = (writes.len() * session.piece) as u64;
    match session.answer("writing a file", writes.join_next()).await? {
        None => Ok(0),
        Some(Ok((len, Ok(_)))) => Ok(len),
        Some(Ok((_, Err(error)))) => {
            Err(session.space_failure(path, rest + in_flight, &error).await)
        }
        Some(Err(error)) => Err(TransportError::ConnectionLost {
            host: session.host.clone(),
            reason: error.to_string(),
        }),
    }
}

/// Makes a renamed file durable under its new name, without its folder.
async fn sync_by_name(session: &Session, path: &str) -> Result<(), TransportError> {
    let handle = session.open(path, OpenFlags::READ).await?;
    session.sync(path, &handle).await?;
    session.close(path, &handle).await
}

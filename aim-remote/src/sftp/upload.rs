//! Storing a file so that it is whole and durable, or not there.
//!
//! 1. If `NAME` is there with the content of the source: sync it and its folder, done.
//! 2. Open `NAME.part`, or create it; keep what is the same as the source, cut the rest.
//! 3. Write on from there, many requests in flight.
//! 4. Compare the length, sync, close.
//! 5. Rename `NAME.part` to `NAME` in one step.
//! 6. Sync the folder; where the server can't, open `NAME` again and sync that, which on Linux's
//!    journalling file systems makes the rename durable too.
//!
//! A stop before 5 leaves `NAME.part` for the next call to go on with; after 5, the next call
//! ends at 1. Whoever reads the folder sees `NAME` only with all of its content.

use std::pin::pin;
use std::sync::Arc;

use aim_core::failpoint::Failpoint;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::compare::{Common, common_prefix, next_chunk};
use super::session::{Session, parent, within};
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
    if let Some(len) = whole(session, path, source).await? {
        progress.add_reused(len);
        return Ok(Put {
            sent: 0,
            reused: len,
        });
    }
    let part = format!("{path}{PART}");
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let opening = session
        .raw
        .open(part.as_str(), flags, FileAttributes::empty());
    let needed = source.len_max();
    let handle = session
        .ask_for_space(&part, needed, "creating a file", opening)
        .await?
        .handle;
    let filled = fill(session, room, &part, &handle, source, progress).await;
    if matches!(&filled, Err(error) if error.breaks_connection()) {
        // the handle went with its connection
        return filled;
    }
    session.close(&part, &handle).await?;
    let put = filled?;
    pass(Failpoint::PutSynced, path)?;
    session.rename(&part, path).await?;
    pass(Failpoint::PutRenamed, path)?;
    if !session.sync_folder(parent(path)).await? {
        sync_by_name(session, path).await?;
    }
    Ok(put)
}

/// The length of the file if all of it is there already; it is durable then when this returns.
async fn whole(
    session: &Session,
    path: &str,
    source: &Source,
) -> Result<Option<u64>, TransportError> {
    let Some(handle) = session.open_optional(path, OpenFlags::READ).await? else {
        return Ok(None);
    };
    let len = session.len(path, &handle).await?;
    let whole = match source.exact_len() {
        Some(own) if own != len => false,
        _ => common_prefix(session, path, &handle, len, source).await? == Common::all(len),
    };
    if whole {
        session.sync(path, &handle).await?;
    }
    session.close(path, &handle).await?;
    if whole {
        session.sync_folder(parent(path)).await?;
    }
    Ok(whole.then_some(len))
}

/// Makes the open file the same as the source, and syncs it.
async fn fill(
    session: &Session,
    room: &Arc<Semaphore>,
    path: &str,
    handle: &str,
    source: &Source,
    progress: &Progress,
) -> Result<Put, TransportError> {
    let len = session.len(path, handle).await?;
    let common = common_prefix(session, path, handle, len, source).await?;
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
    let len = session.len(path, handle).await?;
    if len != end {
        return Err(TransportError::Refused {
            place: path.to_owned(),
            reason: format!("has {len} bytes after {end} were written"),
        });
    }
    pass(Failpoint::PutWritten, path)?;
    session.sync(path, handle).await?;
    Ok(Put {
        sent: end - kept,
        reused: kept,
    })
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
    let (host, limit) = (&session.host, session.progress_timeout);
    match within(host, limit, "writing a file", writes.join_next()).await? {
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

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

use std::sync::Arc;

use aim_core::failpoint::Failpoint;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status};
use tokio::task::JoinSet;

use super::compare::{common_prefix, next_chunk};
use super::session::{Session, parent, within};
use crate::file_io::Source;
use crate::transport::{PART, Progress, Put, TransportError, pass};

/// Write requests that are in flight at once: with full pieces 16 MiB, enough for a long line.
const WRITES_IN_FLIGHT: usize = 64;

/// Stores `source` at `path`.
pub(crate) async fn put(
    session: &Session,
    path: &str,
    source: &Source,
    progress: &Progress,
) -> Result<Put, TransportError> {
    if is_whole(session, path, source).await? {
        progress.add_reused(source.len());
        return Ok(Put {
            sent: 0,
            reused: source.len(),
        });
    }
    let part = format!("{path}{PART}");
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let opening = session
        .raw
        .open(part.as_str(), flags, FileAttributes::empty());
    let needed = source.len();
    let handle = session
        .ask_for_space(&part, needed, "creating a file", opening)
        .await?
        .handle;
    let filled = fill(session, &part, &handle, source, progress).await;
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

/// Whether the file is there already; if so, it is durable when this returns.
async fn is_whole(session: &Session, path: &str, source: &Source) -> Result<bool, TransportError> {
    let Some(handle) = session.open_optional(path, OpenFlags::READ).await? else {
        return Ok(false);
    };
    let len = session.len(path, &handle).await?;
    let whole =
        len == source.len() && common_prefix(session, path, &handle, len, source).await? == len;
    if whole {
        session.sync(path, &handle).await?;
    }
    session.close(path, &handle).await?;
    if whole {
        session.sync_folder(parent(path)).await?;
    }
    Ok(whole)
}

/// Makes the open file the same as the source, and syncs it.
async fn fill(
    session: &Session,
    path: &str,
    handle: &str,
    source: &Source,
    progress: &Progress,
) -> Result<Put, TransportError> {
    let len = session.len(path, handle).await?;
    let kept = common_prefix(session, path, handle, len, source).await?;
    if kept < len {
        let cut = FileAttributes {
            size: Some(kept),
            ..FileAttributes::empty()
        };
        let cutting = session.raw.fsetstat(handle, cut);
        session.ask(path, "cutting a file", cutting).await?;
    }
    progress.add_reused(kept);
    write_from(session, path, handle, kept, source, progress).await?;
    let len = session.len(path, handle).await?;
    if len != source.len() {
        return Err(TransportError::Refused {
            place: path.to_owned(),
            reason: format!("has {len} bytes after {} were written", source.len()),
        });
    }
    pass(Failpoint::PutWritten, path)?;
    session.sync(path, handle).await?;
    Ok(Put {
        sent: source.len() - kept,
        reused: kept,
    })
}

async fn write_from(
    session: &Session,
    path: &str,
    handle: &str,
    mut offset: u64,
    source: &Source,
    progress: &Progress,
) -> Result<(), TransportError> {
    let mut chunks = source.chunks(offset, session.piece);
    let mut writes = JoinSet::new();
    while let Some(chunk) = next_chunk(&mut chunks, source).await? {
        if writes.len() >= WRITES_IN_FLIGHT {
            let written = settle(session, path, &mut writes, source.len() - offset).await?;
            progress.add_sent(written);
        }
        let raw = Arc::clone(&session.raw);
        let handle = handle.to_owned();
        let (at, len) = (offset, chunk.len() as u64);
        writes.spawn(async move { (len, raw.write(handle, at, chunk).await) });
        offset += len;
    }
    while !writes.is_empty() {
        progress.add_sent(settle(session, path, &mut writes, 0).await?);
    }
    Ok(())
}

/// Waits for one of the writes in flight and returns its length; `rest` bytes are still to be
/// sent besides them.
async fn settle(
    session: &Session,
    path: &str,
    writes: &mut JoinSet<(u64, Result<Status, SftpError>)>,
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

//! Storing a file so that it is whole and durable, or not there.
//!
//! 1. If the object is there, it is read and compared. If it is the same: done.
//! 2. What fits into one piece is stored by one request.
//! 3. Else the object is begun, or gone on with, as [`unfinished`](super::unfinished) says; its parts
//!    go, several at once, but for those that have arrived with the same content; then they are
//!    made the object in one step, and the note is removed.
//!
//! The store signs for each request only if it has what was signed here: each part goes with its
//! SHA-256. An object is seen whole or not at all, and what the store has acknowledged is durable.

use std::pin::pin;
use std::sync::Arc;

use aim_core::failpoint::Failpoint;
use object_store::multipart::PartId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::pieces::{CHUNK_BYTES, Piece, Pieces, next_chunk};
use super::unfinished::{Held, note};
use super::{Bucket, Unfinished};
use crate::file_io::Source;
use crate::transport::{Progress, Put, TransportError, pass};

/// What is common to all files that go into a bucket.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) bucket: &'a Arc<Bucket>,
    /// Permits for pieces in memory.
    pub(crate) room: &'a Arc<Semaphore>,
    pub(crate) unfinished: &'a Unfinished,
}

/// Stores `source` as `name`.
pub(crate) async fn put(
    way: Way<'_>,
    name: &str,
    source: &Source,
    progress: &Progress,
) -> Result<Put, TransportError> {
    loop {
        if let Some(len) = whole(way.bucket, name, source).await? {
            way.unfinished.give_up(way.bucket, name).await?;
            progress.add_reused(len);
            return Ok(Put {
                sent: 0,
                reused: len,
            });
        }
        let mut pieces = Pieces::new(source, way.room);
        let first = pieces.next().await?;
        if first.is_last {
            way.unfinished.give_up(way.bucket, name).await?;
            return write(way, name, first, progress).await;
        }
        let known = way.unfinished.take(name);
        let is_continued = known.is_some();
        let mut held = match known {
            Some(held) => held,
            None => way.unfinished.begin(way.bucket, name).await?,
        };
        let filled = fill(way, name, &mut held, first, pieces, progress).await;
        match filled {
            Ok(put) => {
                held.forget();
                way.bucket.remove(&note(name)).await?;
                return Ok(put);
            }
            // the store has given it up, or completed it without our having heard of it
            Err(TransportError::NotFound { .. }) if is_continued => held.forget(),
            // not every store says so; what can't be gone on with begins anew
            Err(error) if is_continued && !is_of_the_line(&error) => {
                drop(held);
                if let Err(error) = way.unfinished.give_up(way.bucket, name).await {
                    tracing::warn!(file = name, %error, "an upload can't be given up");
                    way.unfinished.take(name).into_iter().for_each(Held::forget);
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error says nothing of the upload.
fn is_of_the_line(error: &TransportError) -> bool {
    error.breaks_connection() || matches!(error, TransportError::Unreachable { .. })
}

/// The length of the object if it is there with the content of the source.
async fn whole(
    bucket: &Bucket,
    name: &str,
    source: &Source,
) -> Result<Option<u64>, TransportError> {
    let mut content = match bucket.read(name).await {
        Ok(content) => content,
        Err(TransportError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = content.len;
    if source.exact_len().is_some_and(|own| own != len) || len > source.len_max() {
        return Ok(None);
    }
    let mut chunks = source.chunks(0, CHUNK_BYTES);
    let mut theirs = Vec::new();
    while let Some(ours) = next_chunk(&mut chunks, source).await? {
        while theirs.len() < ours.len() {
            match content.next().await? {
                Some(bytes) => theirs.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
        let rest = theirs.split_off(ours.len());
        if theirs != ours {
            return Ok(None);
        }
        theirs = rest;
    }
    let is_all = theirs.is_empty() && content.next().await?.is_none();
    Ok(is_all.then_some(len))
}

/// Stores a file of one piece.
async fn write(
    way: Way<'_>,
    name: &str,
    only: Piece,
    progress: &Progress,
) -> Result<Put, TransportError> {
    let len = only.content.len() as u64;
    progress.admit(len).await;
    pass(Failpoint::PutWritten, name)?;
    way.bucket.write(name, only.content).await?;
    progress.add_sent(len);
    Ok(Put {
        sent: len,
        reused: 0,
    })
}

/// A part that is not on its way any more.
struct Sent {
    index: usize,
    digest: blake3::Hash,
    bytes: u64,
    part: Result<PartId, TransportError>,
}

/// Sends the parts that have not arrived, and makes all of them the object.
async fn fill(
    way: Way<'_>,
    name: &str,
    held: &mut Held<'_>,
    first: Piece,
    mut pieces: Pieces<'_>,
    progress: &Progress,
) -> Result<Put, TransportError> {
    let mut put = Put::default();
    let mut sending = JoinSet::new();
    let mut piece = first;
    let mut count = 0;
    loop {
        let (bytes, is_last) = (piece.content.len() as u64, piece.is_last);
        let arrived = held.parts();
        if arrived.is_some_and(|parts| parts.has(count, &piece.digest)) {
            drop(piece);
            put.reused += bytes;
            progress.add_reused(bytes);
        } else {
            let mut turn = pin!(progress.admit(bytes));
            loop {
                tokio::select! {
                    biased;
                    () = &mut turn => break,
                    Some(sent) = sending.join_next() => settle(held, sent, &mut put, progress)?,
                }
            }
            send(&mut sending, way.bucket, name, held, count, piece);
        }
        count += 1;
        if is_last {
            break;
        }
        let mut reading = pin!(pieces.next());
        piece = loop {
            tokio::select! {
                biased;
                piece = &mut reading => break piece?,
                Some(sent) = sending.join_next() => settle(held, sent, &mut put, progress)?,
            }
        };
    }
    while let Some(sent) = sending.join_next().await {
        settle(held, sent, &mut put, progress)?;
    }
    pass(Failpoint::PutWritten, name)?;
    if let Some(parts) = held.parts() {
        let all = parts.first(count);
        way.bucket.complete(name, &parts.id, all).await?;
    }
    pass(Failpoint::PutRenamed, name)?;
    Ok(put)
}

/// Sets a part on its way.
fn send(
    sending: &mut JoinSet<Sent>,
    bucket: &Arc<Bucket>,
    name: &str,
    held: &mut Held<'_>,
    index: usize,
    piece: Piece,
) {
    let Some(parts) = held.parts() else {
        return;
    };
    let (bucket, name, id) = (Arc::clone(bucket), name.to_owned(), parts.id.clone());
    let Piece {
        content,
        digest,
        room,
        ..
    } = piece;
    let bytes = content.len() as u64;
    sending.spawn(async move {
        let part = bucket.write_part(&name, &id, index, content).await;
        drop(room);
        Sent {
            index,
            digest,
            bytes,
            part,
        }
    });
}

/// Notes a part that has arrived, or that has not.
fn settle(
    held: &mut Held<'_>,
    sent: Result<Sent, tokio::task::JoinError>,
    put: &mut Put,
    progress: &Progress,
) -> Result<(), TransportError> {
    let sent = sent.map_err(|error| TransportError::ConnectionLost {
        host: "the store".to_owned(),
        reason: error.to_string(),
    })?;
    let part = sent.part?;
    if let Some(parts) = held.parts() {
        parts.add(sent.index, sent.digest, part);
    }
    put.sent += sent.bytes;
    progress.add_sent(sent.bytes);
    Ok(())
}

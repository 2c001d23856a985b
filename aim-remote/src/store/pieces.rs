//! A file in pieces, each large enough to be a part of an object.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::file_io::{Chunks, Source};
use crate::transport::TransportError;

/// Bytes of each piece but the last: the least that stores take as a part.
pub(super) const PIECE_BYTES: usize = 5 << 20;

/// Pieces of all files together that are in memory at once: 40 MiB.
pub(crate) const PIECES_MAX: usize = 8;

/// Bytes that are read at once, of which a few are read ahead for each file.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// A piece of a file, and the right to have it in memory.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) content: Vec<u8>,
    /// Of the content: two pieces with the same are the same.
    pub(super) digest: blake3::Hash,
    pub(super) is_last: bool,
    pub(super) room: OwnedSemaphorePermit,
}

/// The pieces of a file, in order.
pub(super) struct Pieces<'a> {
    source: &'a Source,
    chunks: Chunks,
    /// Read already, for the next piece.
    ahead: Option<Vec<u8>>,
    room: Arc<Semaphore>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(source: &'a Source, room: &Arc<Semaphore>) -> Self {
        Self {
            source,
            chunks: source.chunks(0, CHUNK_BYTES),
            ahead: None,
            room: Arc::clone(room),
        }
    }

    /// The next piece, as soon as there is room for it; of an empty file an empty one. Behind the
    /// last one comes nothing.
    pub(super) async fn next(&mut self) -> Result<Piece, TransportError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|error| TransportError::Refused {
            place: self.source.path().display().to_string(),
            reason: error.to_string(),
        })?;
        let mut content = self.ahead.take().unwrap_or_default();
        while let Some(chunk) = next_chunk(&mut self.chunks, self.source).await? {
            if content.len() >= PIECE_BYTES {
                self.ahead = Some(chunk);
                break;
            }
            content.extend_from_slice(&chunk);
        }
        Ok(Piece {
            digest: blake3::hash(&content),
            is_last: self.ahead.is_none(),
            content,
            room,
        })
    }
}

/// The next bytes of a source.
pub(super) async fn next_chunk(
    chunks: &mut Chunks,
    source: &Source,
) -> Result<Option<Vec<u8>>, TransportError> {
    let read = chunks.next().await;
    read.map_err(|error| TransportError::Source {
        path: source.path().to_owned(),
        source: error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_io;

    #[test]
    fn only_the_last_piece_is_shorter_and_says_so() {
        for (len, expected) in [
            (0, vec![0]),
            (1, vec![1]),
            (PIECE_BYTES, vec![PIECE_BYTES]),
            (PIECE_BYTES + 1, vec![PIECE_BYTES, 1]),
            (2 * PIECE_BYTES, vec![PIECE_BYTES, PIECE_BYTES]),
        ] {
            let source = Source::from_bytes("source", vec![7; len]);
            let room = Arc::new(Semaphore::new(PIECES_MAX));
            let pieces = file_io::run_blocking(|_| async {
                let mut pieces = Pieces::new(&source, &room);
                let mut all = vec![pieces.next().await.unwrap()];
                while all.last().is_some_and(|piece| !piece.is_last) {
                    all.push(pieces.next().await.unwrap());
                }
                all
            });
            let pieces = pieces.unwrap();
            let lens: Vec<_> = pieces.iter().map(|piece| piece.content.len()).collect();
            assert_eq!(lens, expected);
            let (last, others) = pieces.split_last().unwrap();
            assert!(last.is_last && others.iter().all(|piece| !piece.is_last));
        }
    }

    #[test]
    fn no_more_pieces_are_in_memory_than_there_is_room_for() {
        let source = Source::from_bytes("source", vec![7; 3 * PIECE_BYTES]);
        let room = Arc::new(Semaphore::new(2));
        file_io::run_blocking(|_| async {
            let mut pieces = Pieces::new(&source, &room);
            let first = pieces.next().await.unwrap();
            let _second = pieces.next().await.unwrap();
            let third = std::future::poll_fn(|context| {
                let next = std::pin::pin!(pieces.next());
                std::task::Poll::Ready(next.poll(context).is_ready())
            });
            assert!(!third.await);
            drop(first);
            assert!(pieces.next().await.unwrap().is_last);
        })
        .unwrap();
    }
}

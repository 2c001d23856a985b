//! Packing a file while it is sent.

use std::io;
use std::sync::Arc;
use std::thread;

use aim_core::fs::DirFile;
use aim_core::packed::{Level, Packer};
use tokio::sync::mpsc;

use super::AHEAD_CHUNKS;

/// The packed bytes of a file, in pieces of one length of which only the last is shorter.
#[derive(Debug)]
pub(super) struct Packed {
    file: Arc<dyn DirFile>,
    level: Level,
    packer: Option<Packer>,
    /// Bytes that are still to be left out.
    skip: u64,
    chunk: usize,
    ready: Vec<u8>,
}

impl Packed {
    /// Leaves out the first `from` bytes; they have to be packed all the same.
    pub(super) fn new(file: Arc<dyn DirFile>, level: Level, from: u64, chunk: usize) -> Self {
        Self {
            file,
            level,
            packer: None,
            skip: from,
            chunk,
            ready: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let packer = match &mut self.packer {
            Some(packer) => packer,
            none => none.insert(Packer::new(Arc::clone(&self.file), self.level)?),
        };
        while self.ready.len() < self.chunk {
            let Some(bytes) = packer.next_bytes()? else {
                break;
            };
            let left_out = usize::try_from(self.skip).map_or(bytes.len(), |n| n.min(bytes.len()));
            self.skip -= left_out as u64;
            self.ready.extend_from_slice(&bytes[left_out..]);
        }
        if self.ready.is_empty() {
            return Ok(None);
        }
        let rest = self.ready.split_off(self.chunk.min(self.ready.len()));
        Ok(Some(std::mem::replace(&mut self.ready, rest)))
    }

    /// Packs on a thread of its own, a little ahead of who takes the pieces.
    pub(super) fn on_a_thread(mut self) -> PackedAway {
        let (sender, pieces) = mpsc::channel(AHEAD_CHUNKS);
        let failed = sender.clone();
        let started = thread::Builder::new()
            .name("aim-pack".to_owned())
            .spawn(move || {
                loop {
                    let piece = self.next();
                    let is_last = !matches!(piece, Ok(Some(_)));
                    // whoever takes no more of them has gone
                    if sender.blocking_send(piece).is_err() || is_last {
                        break;
                    }
                }
            });
        if let Err(error) = started {
            // there is room for one
            drop(failed.try_send(Err(error)));
        }
        PackedAway {
            pieces,
            ended: false,
        }
    }
}

/// The pieces that a thread packs.
#[derive(Debug)]
pub(super) struct PackedAway {
    /// `None` in it is the end; without that, the thread has not come to it.
    pieces: mpsc::Receiver<io::Result<Option<Vec<u8>>>>,
    ended: bool,
}

impl PackedAway {
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        match self.pieces.recv().await {
            Some(piece) => {
                let piece = piece?;
                self.ended = piece.is_none();
                Ok(piece)
            }
            None => Err(io::Error::other("the thread that packs has ended")),
        }
    }
}

//! Files that are read ahead of their user, through io_uring.

use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_uring::buf::BoundedBuf;

use super::AHEAD_CHUNKS;

/// What is left to read of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) chunk: usize,
}

impl Span {
    /// Offset and length of the next piece.
    pub(super) fn advance(&mut self) -> Option<(u64, usize)> {
        let rest = self.end.checked_sub(self.next).filter(|rest| *rest > 0)?;
        let len = usize::try_from(rest).map_or(self.chunk, |rest| rest.min(self.chunk));
        let offset = self.next;
        self.next += len as u64;
        Some((offset, len))
    }
}

/// Pieces to be read through the ring.
#[derive(Debug)]
pub(super) struct Job {
    file: Arc<File>,
    span: Span,
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
}

impl Job {
    /// With where its pieces come out.
    pub(super) fn new(file: Arc<File>, span: Span) -> (Self, mpsc::Receiver<io::Result<Vec<u8>>>) {
        let (sender, receiver) = mpsc::channel(AHEAD_CHUNKS);
        let job = Self { file, span, sender };
        (job, receiver)
    }
}

/// Reads for all sources of a coordinator, each in a task of its own.
pub(super) async fn serve(mut queue: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = queue.recv().await {
        tokio_uring::spawn(async move {
            if let Err(error) = read_through_ring(&job).await {
                // nobody listens any more: nobody needs to know
                drop(job.sender.send(Err(error)).await);
            }
        });
    }
}

async fn read_through_ring(job: &Job) -> io::Result<()> {
    let file = tokio_uring::fs::File::from_std(job.file.try_clone()?);
    let mut span = job.span;
    while let Some((offset, len)) = span.advance() {
        let buffer = Vec::with_capacity(len).slice(..len);
        let (result, buffer) = file.read_exact_at(buffer, offset).await;
        result?;
        if job.sender.send(Ok(buffer.into_inner())).await.is_err() {
            break;
        }
    }
    file.close().await
}

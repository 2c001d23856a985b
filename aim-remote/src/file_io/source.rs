//! The content of a file, piece by piece, however it is read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::fs::DirFile;
use aim_core::packed::{Level, Packer};
use tokio::sync::mpsc;

use super::packing::{Packed, PackedAway};
use super::through_ring::{Job, Span};

/// The content of a file to be shipped.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    len: Length,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Exact(u64),
    /// It shows when all has been read.
    AtMost(u64),
}

#[derive(Clone, Debug)]
enum Content {
    Ring(Arc<File>, mpsc::UnboundedSender<Job>),
    Folder(Arc<dyn DirFile>),
    Memory(Arc<[u8]>),
    Packed {
        file: Arc<dyn DirFile>,
        level: Level,
        is_away: bool,
    },
}

impl Source {
    /// Read through the ring that takes these jobs.
    pub(super) fn through_ring(
        file: File,
        path: PathBuf,
        jobs: mpsc::UnboundedSender<Job>,
    ) -> io::Result<Self> {
        Ok(Self {
            path,
            len: Length::Exact(file.metadata()?.len()),
            content: Content::Ring(Arc::new(file), jobs),
        })
    }

    /// Read where it is asked for.
    pub(super) fn blocking(file: Arc<dyn DirFile>, path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            path,
            len: Length::Exact(file.len()?),
            content: Content::Folder(file),
        })
    }

    /// A journal file that is packed where it is asked for, or on a thread of its own.
    pub(super) fn packed(
        file: Arc<dyn DirFile>,
        path: PathBuf,
        level: Level,
        is_away: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            path,
            len: Length::AtMost(Packer::len_max(file.len()?)),
            content: Content::Packed {
                file,
                level,
                is_away,
            },
        })
    }

    /// A small file that exists only in memory; `path` is for messages.
    pub fn from_bytes(path: impl Into<PathBuf>, content: impl Into<Arc<[u8]>>) -> Self {
        let content = content.into();
        Self {
            path: path.into(),
            len: Length::Exact(content.len() as u64),
            content: Content::Memory(content),
        }
    }

    /// Where the content comes from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes; `None` where that shows only at the end.
    pub fn exact_len(&self) -> Option<u64> {
        match self.len {
            Length::Exact(len) => Some(len),
            Length::AtMost(_) => None,
        }
    }

    /// Length in bytes, or a bound of it.
    pub fn len_max(&self) -> u64 {
        match self.len {
            Length::Exact(len) | Length::AtMost(len) => len,
        }
    }

    /// Reads on from offset `from`, in pieces of `chunk` bytes of which only the last is shorter.
    pub fn chunks(&self, from: u64, chunk: usize) -> Chunks {
        let span = Span {
            next: from,
            end: self.len_max(),
            chunk,
        };
        let reader = match &self.content {
            Content::Packed {
                file,
                level,
                is_away,
            } => {
                let packed = Packed::new(Arc::clone(file), *level, from, chunk);
                match is_away {
                    true => Reader::PackedAway(packed.on_a_thread()),
                    false => Reader::Packed(packed.into()),
                }
            }
            Content::Memory(bytes) => Reader::Memory(Arc::clone(bytes)),
            Content::Folder(file) => Reader::Blocking(Arc::clone(file)),
            Content::Ring(file, jobs) => {
                let (job, receiver) = Job::new(Arc::clone(file), span);
                // without its runtime the job is dropped, and `next` finds the channel closed
                drop(jobs.send(job));
                Reader::Ring(receiver)
            }
        };
        Chunks { span, reader }
    }
}

/// The pieces of a [`Source`], in order.
#[derive(Debug)]
pub struct Chunks {
    span: Span,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Memory(Arc<[u8]>),
    Blocking(Arc<dyn DirFile>),
    Ring(mpsc::Receiver<io::Result<Vec<u8>>>),
    Packed(Box<Packed>),
    PackedAway(PackedAway),
}

impl Chunks {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of reading; a file that is shorter than it was when opened is `UnexpectedEof`.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.reader {
            Reader::Packed(packed) => return packed.next(),
            Reader::PackedAway(packed) => return packed.next().await,
            Reader::Memory(_) | Reader::Blocking(_) | Reader::Ring(_) => {}
        }
        let Some((offset, len)) = self.span.advance() else {
            return Ok(None);
        };
        match &mut self.reader {
            Reader::Packed(_) | Reader::PackedAway(_) => Ok(None),
            Reader::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                Ok(bytes.get(start..start + len).map(<[u8]>::to_vec))
            }
            Reader::Blocking(file) => {
                let mut buffer = vec![0; len];
                file.read_exact_at(&mut buffer, offset)?;
                Ok(Some(buffer))
            }
            Reader::Ring(chunks) => match chunks.recv().await {
                Some(chunk) => chunk.map(Some),
                None => Err(io::Error::other("the thread that reads files has ended")),
            },
        }
    }
}

//! Reading the local files that are shipped: the only user of `tokio-uring`.
//!
//! A coordinator is one thread that runs everything of its own in [`run`]. Where the host has
//! io_uring, a task of that thread reads ahead through it while the network is busy; where not,
//! files are read with plain blocking calls in between. Both sides of that are behind
//! [`Source`], whose users need not know, and may be `Send` although a ring is not.
//!
//! A ring reads from the host's own file systems only, so with one a folder stands for its path;
//! without, files are read through the [`Directory`] that they lie in, whatever is behind it.

mod packing;

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aim_core::fs::{DirFile, Directory};
use aim_core::packed::{Level, Packer};
use packing::{Packed, PackedAway};
use tokio::sync::mpsc;
use tokio_uring::buf::BoundedBuf;

/// Chunks that are read ahead of their user.
const AHEAD_CHUNKS: usize = 4;

/// Entries of the ring that [`run`] tries before it relies on io_uring.
const PROBE_ENTRIES: u32 = 8;

/// Runs a coordinator on the calling thread until its future ends.
pub fn run<T, F>(body: impl FnOnce(FileIo) -> F) -> io::Result<T>
where
    F: Future<Output = T>,
{
    if let Err(error) = tokio_uring::uring_builder().build(PROBE_ENTRIES) {
        tracing::info!(%error, "no io_uring on this host: files are read with blocking calls");
        return run_blocking(body);
    }
    Ok(tokio_uring::start(async {
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio_uring::spawn(serve(queue));
        body(FileIo(Way::Ring(jobs))).await
    }))
}

/// Like [`run`], without io_uring.
pub fn run_blocking<T, F>(body: impl FnOnce(FileIo) -> F) -> io::Result<T>
where
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(body(FileIo(Way::Runtime))))
}

/// Opens files for the coordinator in whose [`run`] it was handed out.
#[derive(Clone, Debug)]
pub struct FileIo(Way);

#[derive(Clone, Debug)]
enum Way {
    /// Through the ring of the runtime.
    Ring(mpsc::UnboundedSender<Job>),
    /// With blocking calls, inside a runtime.
    Runtime,
    /// With blocking calls, without a runtime.
    InPlace,
}

impl FileIo {
    /// For a coordinator that is driven step by step, without a runtime: reads where it is
    /// awaited, so that futures which wait for nothing else are ready at once.
    pub fn in_place() -> Self {
        Self(Way::InPlace)
    }

    /// Whether files are read through io_uring.
    pub fn uses_ring(&self) -> bool {
        matches!(self.0, Way::Ring(_))
    }

    /// Opens a file in `folder` whose content will not change any more.
    pub fn open(&self, folder: &dyn Directory, name: &str) -> io::Result<Source> {
        let path = folder.path().join(name);
        let (len, content) = match &self.0 {
            Way::Ring(jobs) => {
                let file = File::open(&path)?;
                let len = file.metadata()?.len();
                (len, Content::Ring(Arc::new(file), jobs.clone()))
            }
            Way::Runtime | Way::InPlace => {
                let file = folder.open(name, false)?;
                (file.len()?, Content::Folder(file))
            }
        };
        let len = Length::Exact(len);
        Ok(Source { path, len, content })
    }

    /// Opens a journal file in `folder` whose content will not change any more, to be packed
    /// while it is read: on a thread of its own, where there is a runtime.
    pub fn open_packed(
        &self,
        folder: &dyn Directory,
        name: &str,
        level: Level,
    ) -> io::Result<Source> {
        let file = folder.open(name, false)?;
        let is_away = !matches!(self.0, Way::InPlace);
        Ok(Source {
            path: folder.path().join(name),
            len: Length::AtMost(Packer::len_max(file.len()?)),
            content: Content::Packed {
                file,
                level,
                is_away,
            },
        })
    }

    /// Waits for so long. Without a runtime only what is over at once comes to its end: there is
    /// no clock to wait for.
    pub(crate) async fn pause(&self, time: Duration) {
        match &self.0 {
            _ if time.is_zero() => {}
            Way::Ring(_) | Way::Runtime => tokio::time::sleep(time).await,
            Way::InPlace => std::future::pending().await,
        }
    }

    /// Does long work away from the coordinator's thread, where there is a runtime for it.
    ///
    /// # Errors
    ///
    /// If the work panicked.
    pub(crate) async fn away<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match &self.0 {
            Way::Ring(_) | Way::Runtime => tokio::task::spawn_blocking(work).await,
            Way::InPlace => Ok(work()),
        }
    }
}

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
                let (sender, receiver) = mpsc::channel(AHEAD_CHUNKS);
                let job = Job {
                    file: Arc::clone(file),
                    span,
                    sender,
                };
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

/// What is left to read of a file.
#[derive(Clone, Copy, Debug)]
struct Span {
    next: u64,
    end: u64,
    chunk: usize,
}

impl Span {
    /// Offset and length of the next piece.
    fn advance(&mut self) -> Option<(u64, usize)> {
        let rest = self.end.checked_sub(self.next).filter(|rest| *rest > 0)?;
        let len = usize::try_from(rest).map_or(self.chunk, |rest| rest.min(self.chunk));
        let offset = self.next;
        self.next += len as u64;
        Some((offset, len))
    }
}

/// Pieces to be read through the ring.
#[derive(Debug)]
struct Job {
    file: Arc<File>,
    span: Span,
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
}

/// Reads for all sources of a coordinator, each in a task of its own.
async fn serve(mut queue: mpsc::UnboundedReceiver<Job>) {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use aim_core::fs::HostDirectory;

    use super::*;

    async fn collect(source: &Source, from: u64, chunk: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut chunks = source.chunks(from, chunk);
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next().await? {
            all.push(chunk);
        }
        Ok(all)
    }

    async fn every_way(io: FileIo) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i % 253) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let folder = HostDirectory::open(temp.path()).unwrap();
        let file = io.open(&*folder, "file").unwrap();
        let memory = Source::from_bytes("memory", bytes.as_slice());
        for source in [&file, &memory] {
            assert_eq!(source.exact_len(), Some(10_000));
            let chunks = collect(source, 0, 4096).await.unwrap();
            assert_eq!(
                chunks.iter().map(Vec::len).collect::<Vec<_>>(),
                [4096, 4096, 1808]
            );
            assert_eq!(chunks.concat(), bytes);
            let rest = collect(source, 9_999, 4096).await.unwrap();
            assert_eq!(rest, [[bytes[9_999]]]);
            assert!(collect(source, 10_000, 4096).await.unwrap().is_empty());
        }
        let level = Level::MIN;
        let packed = io.open_packed(&*folder, "file", level).unwrap();
        assert_eq!(packed.exact_len(), None);
        let whole = collect(&packed, 0, 1 << 20).await.unwrap().concat();
        assert!(whole.len() < 10_000 && whole.len() as u64 <= packed.len_max());
        for (from, chunk) in [(0, 64), (0, whole.len()), (100, 16), (whole.len(), 16)] {
            let chunks = collect(&packed, from as u64, chunk).await.unwrap();
            assert!(
                chunks
                    .iter()
                    .rev()
                    .skip(1)
                    .all(|piece| piece.len() == chunk)
            );
            assert_eq!(chunks.concat(), whole[from..]);
        }
        drop(packed.chunks(0, 16));
        // more pieces than are read ahead, and a reader that stops early
        drop(file.chunks(0, 16));
        assert_eq!(collect(&file, 1, 16).await.unwrap().concat(), bytes[1..]);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(5_000)
            .unwrap();
        let cut = collect(&file, 0, 4096).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn reads_in_pieces() {
        run(every_way).unwrap();
    }

    #[test]
    fn reads_in_pieces_without_a_ring() {
        run_blocking(|io| async {
            assert!(!io.uses_ring());
            every_way(io).await;
        })
        .unwrap();
    }

    #[test]
    fn reads_in_pieces_without_a_runtime_and_waits_for_nothing() {
        let mut reading = pin!(every_way(FileIo::in_place()));
        let polled = reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(()));
    }

    #[test]
    fn a_source_outlives_its_runtime_without_hanging() {
        let folder = HostDirectory::open("/proc/self").unwrap();
        let source = run(|io| async move { io.open(&*folder, "exe").unwrap() }).unwrap();
        run_blocking(|_| async move {
            // through the ring that is gone, or blocking: it ends
            drop(source.chunks(0, 1 << 20).next().await);
        })
        .unwrap();
    }
}

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
mod source;
mod through_ring;

use std::fs::File;
use std::future::Future;
use std::io;
use std::time::Duration;

use aim_core::fs::Directory;
use aim_core::packed::Level;
use tokio::sync::mpsc;

pub use source::{Chunks, Source};
use through_ring::{Job, serve};

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
        match &self.0 {
            Way::Ring(jobs) => Source::through_ring(File::open(&path)?, path, jobs.clone()),
            Way::Runtime | Way::InPlace => Source::blocking(folder.open(name, false)?, path),
        }
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
        Source::packed(file, folder.path().join(name), level, is_away)
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

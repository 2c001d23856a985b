//! The line between the hosts: the real transport over the mirror's folders, and what goes wrong
//! on a line.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use aim_remote::file_io::Source;
use aim_remote::transport::{
    Entry, LocalTransport, Name, Progress, Put, Transport, TransportError,
};
use aim_tests::{MemFileSystem, Power, Rng};

/// What the far directory is called.
pub(crate) const ROOT: &str = "/mirror";

/// Bytes up to which a file gets through before the line is cut in it, at most.
const PIECE: usize = 4096;

/// A transport to a folder of the mirror host. Clones are the same line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    far: LocalTransport,
    files: MemFileSystem,
    power: Arc<Power>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    rng: Mutex<Rng>,
    /// One in so many calls goes wrong; 0 for none.
    one_in: u64,
    mended: AtomicBool,
}

/// When the line breaks.
enum Break {
    Never,
    Before,
    InTheMiddle,
    /// It is done, but nobody hears of it.
    After,
}

impl Line {
    pub(crate) fn new(files: &MemFileSystem, power: &Arc<Power>, one_in: u64, seed: u64) -> Self {
        let (opened, on) = (files.clone(), power.clone());
        let far = LocalTransport::in_place(ROOT, move |folder| {
            on.require_on()?;
            match folder {
                "" => Ok(opened.folder(ROOT)),
                "incoming" | "rejected" => Ok(opened.folder(Path::new(ROOT).join(folder))),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        });
        Self {
            far,
            files: files.clone(),
            power: power.clone(),
            state: Arc::new(State {
                rng: Mutex::new(Rng::new(seed)),
                one_in,
                mended: AtomicBool::new(false),
            }),
        }
    }

    /// From here on it never breaks.
    pub(crate) fn mend(&self) {
        self.state.mended.store(true, Ordering::Relaxed);
    }

    fn chance(&self) -> Result<Break, TransportError> {
        if !self.power.is_on() {
            return Err(TransportError::Unreachable {
                host: "mirror".to_owned(),
                reason: "it is down".to_owned(),
            });
        }
        let one_in = self.state.one_in;
        if one_in == 0 || self.state.mended.load(Ordering::Relaxed) {
            return Ok(Break::Never);
        }
        let mut rng = self.rng();
        Ok(match rng.chance(one_in) {
            false => Break::Never,
            true => match rng.below(3) {
                0 => Break::Before,
                1 => Break::InTheMiddle,
                _ => Break::After,
            },
        })
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.state
            .rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        match self.chance()? {
            Break::Never => call.await,
            Break::Before | Break::InTheMiddle => Err(lost()),
            Break::After => {
                // the answer is lost, whatever it was
                let _ = call.await;
                Err(lost())
            }
        }
    }

    /// Lets others go first, now and then.
    async fn lag(&self) {
        let mut turns = match self.state.mended.load(Ordering::Relaxed) {
            true => 0,
            false => self.rng().below(4),
        };
        std::future::poll_fn(|context| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Leaves a part of the file there, as a line does that is cut in the middle.
    async fn put_part(&self, name: &Name, source: &Source) -> io::Result<()> {
        let folder = self.files.folder(Path::new(ROOT).join(name.folder()));
        let part = format!("{}.part", name.file());
        let file = match folder.open(&part, true) {
            Ok(file) => file,
            Err(_) => folder.create(&part)?,
        };
        let kept = file.len()?.min(source.len_max());
        let mut chunks = source.chunks(kept, PIECE);
        let Some(piece) = chunks.next().await? else {
            return Ok(());
        };
        let len = self.rng().below(piece.len() as u64 + 1) as usize;
        file.write_all_at(&[io::IoSlice::new(&piece[..len])], kept)
    }
}

fn lost() -> TransportError {
    TransportError::ConnectionLost {
        host: "mirror".to_owned(),
        reason: "cut by the simulator".to_owned(),
    }
}

impl Transport for Line {
    fn place(&self) -> String {
        self.far.place()
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        self.call(self.far.list(folder)).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        self.lag().await;
        match self.chance()? {
            Break::Never => self.far.put(name, source, progress).await,
            Break::Before => Err(lost()),
            Break::InTheMiddle => {
                let _ = self.put_part(name, source).await;
                Err(lost())
            }
            Break::After => {
                let _ = self.far.put(name, source, progress).await;
                Err(lost())
            }
        }
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.call(self.far.get(name, limit)).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        self.call(self.far.remove(name)).await
    }
}

/// Runs a future that waits for nothing but what is done where it is awaited.
///
/// # Panics
///
/// If it waits for something else: then the run would depend on more than its seed.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => panic!("a step waits for something outside of the simulator"),
        }
    }
}

/// Whether a future that waits wants to go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

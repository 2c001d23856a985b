//! Files on their way: several at once, each by itself.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use aim_core::cursor::StoredFile;
use aim_core::spool::WaitingFile;
use aim_core::units::FileNumber;

use super::ShipError;

/// Carries one file, and says what lies on the far side when it is durable there.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<Delivered, ShipError>> + Send>>;

/// A file that was seen whole on the far side.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Where it stands in the series.
    pub(super) file: StoredFile,
    pub(super) stored: Stored,
}

/// A file that is whole and durable on the far side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its name there, without the folder.
    pub(super) name: String,
    /// Its length there.
    pub(super) bytes: u64,
}

/// A file that is not on its way any more.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) file: WaitingFile,
    pub(super) delivered: Result<Delivered, ShipError>,
}

/// All files that are on their way. They go on only while one of the methods is awaited.
#[derive(Default)]
pub(super) struct Uploads {
    on_way: Vec<(WaitingFile, Upload)>,
    /// What has come to its end, and nobody has heard of yet.
    ended: VecDeque<Ended>,
}

impl Uploads {
    /// Sets a file on its way.
    pub(super) fn start(&mut self, file: WaitingFile, upload: Upload) {
        self.on_way.push((file, upload));
    }

    /// Files that have not come to their end.
    pub(super) fn count(&self) -> usize {
        self.on_way.len()
    }

    /// Whether none is on its way, and everyone has heard of the end of all.
    pub(super) fn is_empty(&self) -> bool {
        self.on_way.is_empty() && self.ended.is_empty()
    }

    /// Files that are on their way, or of whose end nobody has heard yet.
    pub(super) fn numbers(&self) -> BTreeSet<FileNumber> {
        let on_way = self.on_way.iter().map(|(file, _)| file);
        let ended = self.ended.iter().map(|ended| &ended.file);
        on_way.chain(ended).map(|file| file.name.number).collect()
    }

    /// Leaves all other files that are on their way where they are.
    pub(super) fn keep(&mut self, is_kept: impl Fn(FileNumber) -> bool) {
        self.on_way.retain(|(file, _)| is_kept(file.name.number));
    }

    /// Leaves all files where they are: what has arrived of them is gone on with another time.
    pub(super) fn abandon(&mut self) {
        self.on_way.clear();
        self.ended.clear();
    }

    /// Lets the files go on while something else is done.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        std::future::poll_fn(|context| {
            self.go_on(context);
            other.as_mut().poll(context)
        })
        .await
    }

    /// Lets each file go on as far as it can without waiting.
    pub(super) async fn step(&mut self) {
        self.beside(std::future::ready(())).await;
    }

    /// A file that has come to its end; waits for one if there are files on their way.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        std::future::poll_fn(|context| {
            if self.ended.is_empty() {
                self.go_on(context);
            }
            match self.ended.pop_front() {
                None if !self.on_way.is_empty() => Poll::Pending,
                ended => Poll::Ready(ended),
            }
        })
        .await
    }

    /// A file of whose end nobody has heard yet.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        let ended = &mut self.ended;
        self.on_way
            .retain_mut(|(file, upload)| match upload.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(delivered) => {
                    let file = *file;
                    ended.push_back(Ended { file, delivered });
                    false
                }
            });
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_way = self.on_way.iter().map(|(file, _)| file.name.number);
        f.debug_set().entries(on_way).finish()
    }
}

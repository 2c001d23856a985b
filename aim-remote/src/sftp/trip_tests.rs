//! How many answers have to be waited for, with OpenSSH's own server behind a line that counts
//! them.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::session::Session;
use super::{WRITES_MAX, put};
use crate::file_io::{Source, run_blocking};
use crate::transport::{Progress, Put, TransportError};

const PROGRESS_TIMEOUT: Duration = Duration::from_millis(500);
/// Longer than an answer may take, shorter than one to a sync.
const HELD_UP: Duration = Duration::from_millis(1500);
/// Yields after which our side has sent all that it sends without an answer: none of its tasks
/// has anything else to wait for.
const YIELDS: usize = 200;

/// Carries all requests that there are, then all answers to them: one trip.
#[derive(Debug, Default)]
struct Line {
    trips: AtomicUsize,
    holds_up: AtomicBool,
}

impl Line {
    async fn carry(self: Arc<Self>, ours: DuplexStream) {
        let mut server = Command::new("/usr/lib/openssh/sftp-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut to_server = server.stdin.take().unwrap();
        let mut from_server = server.stdout.take().unwrap();
        let (mut requests, mut to_ours) = tokio::io::split(ours);
        loop {
            let Some(mut all) = packet(&mut requests).await else {
                return;
            };
            let mut count = 1;
            while let Some(more) = packet_there(&mut requests).await {
                all.extend(more);
                count += 1;
            }
            self.trips.fetch_add(1, Ordering::Relaxed);
            to_server.write_all(&all).await.unwrap();
            let mut answers = Vec::new();
            for _ in 0..count {
                answers.extend(packet(&mut from_server).await.unwrap());
            }
            if self.holds_up.load(Ordering::Relaxed) {
                tokio::time::sleep(HELD_UP).await;
            }
            to_ours.write_all(&answers).await.unwrap();
        }
    }

    /// Trips that something takes.
    async fn trips_of<T>(&self, asking: impl Future<Output = T>) -> (usize, T) {
        // what nobody waits for, as the end of the request before, is a trip that counts for that
        for _ in 0..3 {
            settle().await;
        }
        let before = self.trips.load(Ordering::Relaxed);
        let answer = asking.await;
        (self.trips.load(Ordering::Relaxed) - before, answer)
    }
}

/// A packet with its length in front; `None` at the end of the stream.
#[expect(
    clippy::big_endian_bytes,
    reason = "the byte order of the SFTP protocol"
)]
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let len = stream.read_u32().await.ok()?;
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    Some([&len.to_be_bytes()[..], &bytes].concat())
}

/// A packet that is sent without another answer.
async fn packet_there(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    tokio::select! {
        biased;
        packet = packet(stream) => packet,
        () = settle() => None,
    }
}

async fn settle() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

fn with_session<F: Future<Output = ()>>(body: impl FnOnce(Session, Arc<Line>) -> F) {
    run_blocking(|_| async {
        let (ours, far) = tokio::io::duplex(64 << 20);
        let line = Arc::new(Line::default());
        tokio::spawn(Arc::clone(&line).carry(far));
        let patience = Duration::from_secs(60);
        let started = Session::start(ours, "far", patience, PROGRESS_TIMEOUT).await;
        body(started.unwrap(), line).await;
    })
    .unwrap();
}

async fn put_bytes(session: &Session, path: &Path, bytes: &[u8]) -> Put {
    let room = Arc::new(Semaphore::new(WRITES_MAX));
    let source = Source::from_bytes("source", bytes);
    let path = path.to_str().unwrap();
    put(session, &room, path, &source, &Progress::default())
        .await
        .unwrap()
}

#[test]
fn a_new_file_takes_five_trips_and_one_that_is_there_leaves_nothing_else() {
    with_session(|session, line| async move {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        // several pieces, all of them in flight at once
        let bytes = vec![7; 2 << 20];
        let (trips, stored) = line.trips_of(put_bytes(&session, &path, &bytes)).await;
        assert_eq!(stored.sent, bytes.len() as u64);
        assert_eq!(trips, 5);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);

        let again = put_bytes(&session, &path, &bytes).await;
        assert_eq!((again.sent, again.reused), (0, bytes.len() as u64));
        let names = session.list(folder.path().to_str().unwrap()).await.unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
    });
}

#[test]
fn small_files_and_listings_take_two_trips() {
    with_session(|session, line| async move {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"small").unwrap();
        let path = path.to_str().unwrap();
        let (trips, content) = line.trips_of(session.get(path, 100)).await;
        assert_eq!(content.unwrap(), b"small");
        assert_eq!(trips, 2);

        let folder = folder.path().to_str().unwrap();
        let (trips, names) = line.trips_of(session.list(folder)).await;
        assert_eq!(names.unwrap().len(), 1);
        assert_eq!(trips, 2);
    });
}

#[test]
fn a_long_listing_is_complete() {
    with_session(|session, _| async move {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..1234 {
            std::fs::write(folder.path().join(format!("{number}")), b"").unwrap();
        }
        let listed = session.list(folder.path().to_str().unwrap()).await;
        let names: std::collections::BTreeSet<_> = listed
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names.len(), 1234);
    });
}

#[test]
fn what_is_asked_behind_a_slow_sync_has_the_time_of_the_sync() {
    with_session(|session, line| async move {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"small").unwrap();
        let path = path.to_str().unwrap();
        let handle = session
            .open(path, russh_sftp::protocol::OpenFlags::READ)
            .await
            .unwrap();
        line.holds_up.store(true, Ordering::Relaxed);
        let (synced, len) = tokio::join!(
            biased;
            session.sync(path, &handle),
            session.len(path, &handle)
        );
        synced.unwrap();
        assert_eq!(len.unwrap(), 5);
        // and without a sync it has not
        let late = session.len(path, &handle).await;
        assert!(
            matches!(late, Err(TransportError::Timeout { .. })),
            "{late:?}"
        );
    });
}

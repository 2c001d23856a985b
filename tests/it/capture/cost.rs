//! What capture costs besides: bytes in the journal, syncs, and what an idle volume does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use aim_core::capture::{Worker, Workers};
use aim_core::clock::Clock;
use aim_core::intercept::{Admission, Interceptor, Outcome, Ticket};
use aim_core::request::Request;
use aim_core::units::Timestamp;

use super::*;

/// A clock that only the test moves.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(1 + self.0.load(Ordering::SeqCst))
    }
}

/// Does the workers' steps until none has anything to do.
fn run(workers: &mut Workers) {
    while Worker::ALL
        .map(|worker| workers.step(worker))
        .contains(&true)
    {}
}

fn admitted(capture: &Capture, request: &Request) -> Ticket {
    match capture.admit(request, None, Waker::noop()) {
        Ok(Admission::Captured(ticket)) => ticket,
        other => panic!("{request:?}: {other:?}"),
    }
}

/// Bytes of the journal for each byte that was written, with files as they are by default.
fn journal_bytes_per_byte(write_bytes: usize) -> f64 {
    const WRITTEN: usize = 64 << 20;
    const DISK: u64 = 8 << 20;
    let files = MemFileSystem::new(Power::steady());
    let identity = VolumeIdentity::generate(ByteLen(DISK), BLOCK as u32);
    let folder = files.folder("/journal");
    ExtentMap::create(&*folder, &identity, Initial::Identical, None).unwrap();
    let spool = SourceSpool::create(folder, &identity).unwrap();
    let mut config = CaptureConfig::new(StagingConfig::anonymous(4, 128 << 10));
    config.seal.age = Duration::from_secs(3600);
    let device = Arc::new(MemDevice::new(ByteLen(DISK), BLOCK as u32));
    let capture = Capture::start(&config, spool.clone(), vec![device.clone()], SystemClock);
    let mirrored = MirroredDevice::new(device, capture.unwrap());
    let data = vec![7; write_bytes];
    for offset in (0..WRITTEN).step_by(write_bytes) {
        mirrored
            .write(ByteOffset(offset as u64 % DISK), &data)
            .unwrap();
    }
    mirrored.stop().unwrap();
    spool.outgoing().unwrap().bytes() as f64 / WRITTEN as f64
}

#[test]
fn the_journal_is_hardly_larger_than_what_was_written() {
    let small = journal_bytes_per_byte(4 << 10);
    assert!(small > 1.0 && small <= 1.03, "{small} for 4 KiB");
    let large = journal_bytes_per_byte(128 << 10);
    assert!(large > 1.0 && large <= 1.002, "{large} for 128 KiB");
}

#[test]
fn those_who_sync_together_share_one_sync() {
    let source = Source::new(None);
    let clock = Hand::default();
    let (capture, mut workers) =
        Capture::paused(&source.config, source.spool(), vec![disk()], clock).unwrap();
    // the first one makes the file
    let first = admitted(&capture, &Request::flush());
    assert!(
        capture
            .poll_durable(first.lsn(), Waker::noop())
            .is_pending()
    );
    capture.complete(first, Outcome::Done);
    run(&mut workers);
    let flushes = [(); 32].map(|()| admitted(&capture, &Request::flush()));
    let lsns = flushes.each_ref().map(Ticket::lsn);
    for lsn in lsns {
        assert!(capture.poll_durable(lsn, Waker::noop()).is_pending());
    }
    let before = source.power.labels().len();
    for flush in flushes {
        capture.complete(flush, Outcome::Done);
    }
    run(&mut workers);
    for lsn in lsns {
        assert!(capture.poll_durable(lsn, Waker::noop()).is_ready());
    }
    let steps = source.power.labels().split_off(before);
    let syncs = steps.iter().filter(|step| **step == "file sync").count();
    assert_eq!(syncs, 1, "{steps:?}");
    workers.stop().unwrap();
}

#[test]
fn writes_close_together_wait_for_the_map_three_times_while_little_is_hot() {
    let mut source = Source::new(None);
    source.config.hot.bytes = ByteLen(2 * 16 * EXTENT);
    let (capture, mut workers) =
        Capture::paused(&source.config, source.spool(), vec![disk()], SystemClock).unwrap();
    let mut waits_for = |extents: [u64; 6]| {
        let places = extents.map(|extent| ByteOffset(extent * EXTENT));
        let requests = places.map(|place| Request {
            operation: aim_core::request::Operation::Discard,
            ..Request::write(place, ByteLen(4096))
        });
        let waits = requests.iter().filter(|request| {
            let waits = capture.admit(request, None, Waker::noop());
            let waits = match waits {
                Ok(Admission::Captured(ticket)) => {
                    capture.complete(ticket, Outcome::Done);
                    false
                }
                other => other.is_err(),
            };
            run(&mut workers);
            waits
        });
        waits.count()
    };
    assert_eq!(waits_for([0, 7, 3, 15, 10, 1]), 3);
    assert_eq!(waits_for([18, 23, 20, 31, 26, 29]), 6, "half of it is hot");
    workers.stop().unwrap();
}

#[test]
fn an_idle_volume_writes_nothing() {
    let mut source = Source::new(None);
    source.config.seal.age = Duration::from_secs(1);
    let clock = Hand::default();
    let spool = source.spool();
    let (capture, mut workers) =
        Capture::paused(&source.config, spool, vec![disk()], clock.clone()).unwrap();
    let zeroes = Request {
        operation: aim_core::request::Operation::Discard,
        ..Request::write(ByteOffset(0), ByteLen(4096))
    };
    // it waits until the extent is noted
    assert!(capture.admit(&zeroes, None, Waker::noop()).is_err());
    run(&mut workers);
    let ticket = admitted(&capture, &zeroes);
    capture.complete(ticket, Outcome::Done);
    for _ in 0..90 {
        clock.forward(Duration::from_secs(1));
        run(&mut workers);
    }
    assert_eq!(capture.status().sealed.lsn, Lsn(1));
    assert_eq!(capture.status().hot, ByteLen(0));
    let before = source.power.steps();
    for _ in 0..3600 {
        clock.forward(Duration::from_secs(1));
        run(&mut workers);
    }
    assert_eq!(source.power.steps(), before, "{:?}", source.power.labels());
    workers.stop().unwrap();
}

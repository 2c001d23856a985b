//! Capture: what was acknowledged is in the journal, in one order, whatever ends the process.

use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, CaptureState, MirroredDevice, SealPolicy, StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::format::Kind;
use aim_core::identity::VolumeIdentity;
use aim_core::intercept::{Admission, Interceptor, Landing, Outcome, Ticket};
use aim_core::journal::VerifiedFile;
use aim_core::request::Request;
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset, Lsn};
use aim_tests::{MemFileSystem, Power, Rng};

const SIZE: usize = 1 << 20;
const BLOCK: usize = 512;
const REQUEST_MAX: usize = 16 << 10;

/// A source: a journal folder in memory, and perhaps a ring file.
struct Source {
    files: MemFileSystem,
    power: Arc<Power>,
    config: CaptureConfig,
}

impl Source {
    fn new(ring: Option<&Path>) -> Self {
        let power = Power::steady();
        let files = MemFileSystem::new(power.clone());
        let identity = VolumeIdentity::generate(ByteLen(SIZE as u64), BLOCK as u32);
        SourceSpool::create(files.folder("/journal"), &identity).unwrap();
        let staging = StagingConfig {
            path: ring.map(Path::to_owned),
            ..StagingConfig::anonymous(4, REQUEST_MAX)
        };
        let seal = SealPolicy {
            bytes: ByteLen(64 << 10),
            age: Duration::from_secs(3600),
        };
        Self {
            files,
            power,
            config: CaptureConfig { staging, seal },
        }
    }

    fn spool(&self) -> SourceSpool {
        SourceSpool::open(self.files.folder("/journal")).unwrap()
    }

    fn start(&self, device: Arc<MemDevice>) -> MirroredDevice<Arc<MemDevice>> {
        let capture = Capture::start(&self.config, self.spool(), SystemClock).unwrap();
        MirroredDevice::new(device, capture)
    }

    /// What a mirror would hold that started blank and applied every sealed file in order.
    fn mirrored(&self) -> Vec<u8> {
        let mut image = vec![0; SIZE];
        let mut next = Lsn(1);
        let spool = self.spool();
        for waiting in spool.outgoing().unwrap().files {
            let file = spool
                .outgoing_folder()
                .open(&waiting.name.sealed(), false)
                .unwrap();
            let file = VerifiedFile::open(file).unwrap();
            for iocb in file.records() {
                assert_eq!(iocb.lsn, next);
                next = next.next();
                let start = iocb.offset.get() as usize;
                let range = &mut image[start..start + iocb.len.get() as usize];
                match iocb.kind {
                    Kind::Write => file.read_payload(iocb, range).unwrap(),
                    Kind::WriteZeroes { .. } | Kind::Discard => range.fill(0),
                    _ => {}
                }
            }
        }
        image
    }
}

fn disk() -> Arc<MemDevice> {
    Arc::new(MemDevice::new(ByteLen(SIZE as u64), BLOCK as u32))
}

/// One random change of up to twice the largest request.
fn change(device: &dyn BlockDevice, rng: &mut Rng) {
    let blocks = SIZE / BLOCK;
    let start = rng.below(blocks as u64) as usize;
    let most = (blocks - start).min(2 * REQUEST_MAX / BLOCK);
    let len = (1 + rng.below(most as u64) as usize) * BLOCK;
    let (offset, range) = (ByteOffset((start * BLOCK) as u64), ByteLen(len as u64));
    match rng.below(8) {
        0 => device.write_zeroes(offset, range, rng.chance(2)).unwrap(),
        1 => device.discard(offset, range).unwrap(),
        2 => device.sync().unwrap(),
        _ => {
            let mut data = vec![0; len];
            rng.fill(&mut data);
            device.write(offset, &data).unwrap();
        }
    }
}

#[test]
fn capture_of_random_changes_equals_the_disk() {
    for seed in 0..8 {
        let (source, device) = (Source::new(None), disk());
        let mirrored = source.start(device.clone());
        let mut rng = Rng::new(seed);
        (0..400).for_each(|_| change(&mirrored, &mut rng));
        let captured = mirrored.capture().status().captured;
        mirrored.stop().unwrap();
        assert!(source.mirrored() == device.content(), "seed {seed}");
        assert_eq!(source.spool().sealed().unwrap().lsn, captured);
    }
}

#[test]
fn capture_from_many_threads_has_one_order() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let mirrored = &mirrored;
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                (0..200).for_each(|_| change(mirrored, &mut rng));
            });
        }
    });
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// P2: of two overlapping writes in flight the second waits, so that disk and mirror end with the
/// same one on top, whichever the disk does first.
#[test]
fn capture_orders_overlapping_writes() {
    let (source, device) = (Source::new(None), disk());
    let capture = Capture::start(&source.config, source.spool(), SystemClock).unwrap();
    let request = Request::write(ByteOffset(0), ByteLen(4096));
    let staged = |byte: u8| {
        let mut landing = capture.landing(None, REQUEST_MAX, Waker::noop()).unwrap();
        landing.as_mut_slice()[..4096].fill(byte);
        landing
    };
    let admit = |landing: &mut Landing| match capture.admit(&request, Some(landing), Waker::noop())
    {
        Ok(Admission::Captured(ticket)) => Some(ticket),
        Ok(Admission::Pass) => panic!("a write is captured"),
        Err(_) => None,
    };
    let finish = |ticket: Ticket, byte: u8| {
        device.write(ByteOffset(0), &[byte; 4096]).unwrap();
        capture.complete(ticket, Outcome::Done);
    };
    let (mut first, mut second) = (staged(1), staged(2));
    let ticket = admit(&mut first).unwrap();
    match admit(&mut second) {
        // without a lock the disk may do them in the other order
        Some(overtaking) => {
            finish(overtaking, 2);
            finish(ticket, 1);
        }
        None => {
            finish(ticket, 1);
            finish(admit(&mut second).unwrap(), 2);
        }
    }
    capture.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

#[test]
fn capture_goes_on_after_a_clean_stop() {
    let (source, device) = (Source::new(None), disk());
    let mut rng = Rng::new(1);
    for _ in 0..3 {
        let mirrored = source.start(device.clone());
        (0..50).for_each(|_| change(&mirrored, &mut rng));
        assert_eq!(mirrored.capture().status().uncertain, None);
        mirrored.stop().unwrap();
    }
    assert!(source.mirrored() == device.content());
}

#[test]
fn an_idle_volume_writes_nothing() {
    let (source, device) = (Source::new(None), disk());
    source.start(device.clone()).stop().unwrap();
    source.start(device).stop().unwrap();
    assert!(source.spool().outgoing().unwrap().files.is_empty());
    assert!(source.spool().open_folder().list().unwrap().is_empty());
}

/// P1, first half: what a flush covered survives a power cut of the source.
#[test]
fn capture_durability_a_flush_survives_the_power_cut() {
    for seed in 0..20 {
        let (source, device) = (Source::new(None), disk());
        let mirrored = source.start(device.clone());
        let mut rng = Rng::new(seed);
        (0..40).for_each(|_| change(&mirrored, &mut rng));
        mirrored.sync().unwrap();
        let flushed = device.content();
        source.power.cut();
        drop(mirrored);
        source.files.crash(seed);
        source.power.restore();
        let successor = source.start(device);
        assert!(
            successor.capture().status().uncertain.is_some(),
            "a power cut is said"
        );
        successor.stop().unwrap();
        assert!(source.mirrored() == flushed, "seed {seed}");
    }
}

/// P1, second half: what was acknowledged survives the death of the process, because the ring
/// outlives it. A journal without room keeps everything in the ring here.
#[test]
fn capture_durability_an_acknowledged_write_survives_the_process() {
    let temp = tempfile::tempdir().unwrap();
    let (source, device) = (Source::new(Some(&temp.path().join("ring"))), disk());
    let mirrored = source.start(device.clone());
    source.files.set_capacity(Some(0));
    for block in 0..5u8 {
        mirrored
            .write(ByteOffset(u64::from(block) * 4096), &[block + 1; 4096])
            .unwrap();
    }
    drop(mirrored);
    assert!(source.spool().outgoing().unwrap().files.is_empty());
    source.files.set_capacity(None);
    let successor = source.start(device.clone());
    let status = successor.capture().status();
    assert_eq!((status.drained, status.uncertain), (Lsn(5), None));
    successor.write(ByteOffset(0), &[9; 512]).unwrap();
    successor.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// P4: a journal without room makes writers wait at most; it goes on by itself.
#[test]
fn capture_journal_full_goes_on_when_there_is_room() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    source.files.set_capacity(Some(0));
    mirrored.write(ByteOffset(0), &[1; 4096]).unwrap();
    wait_until(|| {
        matches!(
            mirrored.capture().status().state,
            CaptureState::Blocked { .. }
        )
    });
    source.files.set_capacity(None);
    mirrored.sync().unwrap();
    // who waits for durability is told before the status is
    wait_until(|| mirrored.capture().status().state == CaptureState::Capturing);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// P4 and P3: a journal that fails ends capture, not the disk; and that is said, also later.
#[test]
fn capture_journal_fails_and_the_disk_goes_on() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    mirrored.write(ByteOffset(0), &[1; 4096]).unwrap();
    mirrored.sync().unwrap();
    source
        .power
        .fail_at(source.power.steps() + 1, std::io::ErrorKind::Other);
    let mut rng = Rng::new(3);
    (0..300).for_each(|_| change(&mirrored, &mut rng));
    mirrored.sync().unwrap();
    let is_passthrough = |state| matches!(state, CaptureState::Passthrough { .. });
    wait_until(|| is_passthrough(mirrored.capture().status().state));
    mirrored.stop().unwrap();
    let successor = source.start(device);
    assert!(
        is_passthrough(successor.capture().status().state),
        "still said after a restart"
    );
    successor.write(ByteOffset(0), &[2; 512]).unwrap();
    successor.stop().unwrap();
}

/// P3: a write that the disk failed is not applied on the mirror, and the volume is uncertain.
#[test]
fn capture_uncertain_after_a_failed_write() {
    #[derive(Debug)]
    struct Failing(Arc<MemDevice>);

    impl BlockDevice for Failing {
        fn size(&self) -> ByteLen {
            self.0.size()
        }
        fn block_size(&self) -> u32 {
            self.0.block_size()
        }
        fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> std::io::Result<()> {
            self.0.read(offset, buffer)
        }
        fn write(&self, offset: ByteOffset, data: &[u8]) -> std::io::Result<()> {
            match offset.get() {
                0 => Err(std::io::ErrorKind::Other.into()),
                _ => self.0.write(offset, data),
            }
        }
        fn write_zeroes(&self, at: ByteOffset, len: ByteLen, unmap: bool) -> std::io::Result<()> {
            self.0.write_zeroes(at, len, unmap)
        }
        fn sync(&self) -> std::io::Result<()> {
            self.0.sync()
        }
    }

    let (source, device) = (Source::new(None), disk());
    let capture = Capture::start(&source.config, source.spool(), SystemClock).unwrap();
    let mirrored = MirroredDevice::new(Failing(device.clone()), capture);
    mirrored.write(ByteOffset(4096), &[1; 512]).unwrap();
    mirrored.write(ByteOffset(0), &[2; 512]).unwrap_err();
    mirrored.write(ByteOffset(8192), &[3; 512]).unwrap();
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
    let successor = source.start(device);
    assert!(successor.capture().status().uncertain.is_some());
    successor.stop().unwrap();
}

/// Waits for something that another thread does; ends the test if it never comes.
fn wait_until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::yield_now();
    }
}

//! Capture: what was acknowledged is in the journal, in one order, whatever ends the process, and
//! what the journal could not take is copied.

mod baseline;
mod compare;
mod cost;
mod durability;
mod order;
mod resync;
mod trouble;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, ExtentMap, Initial, MirroredDevice, OnFull, SealPolicy, SourceDisk,
    StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::format::Kind;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::VerifiedFile;
use aim_core::spool::SourceSpool;
use aim_core::units::{ByteLen, ByteOffset, Lsn};
use aim_tests::{MemFileSystem, Power, Rng};

const SIZE: usize = 1 << 20;
const BLOCK: usize = 512;
const REQUEST_MAX: usize = 16 << 10;
const EXTENT: u64 = 32 << 10;

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
        let folder = files.folder("/journal");
        ExtentMap::create(&*folder, &identity, Initial::Identical, Some(EXTENT)).unwrap();
        SourceSpool::create(folder, &identity).unwrap();
        let staging = StagingConfig {
            path: ring.map(Path::to_owned),
            ..StagingConfig::anonymous(4, REQUEST_MAX)
        };
        let seal = SealPolicy {
            bytes: ByteLen(64 << 10),
            age: Duration::from_secs(3600),
        };
        let config = CaptureConfig {
            seal,
            ..CaptureConfig::new(staging)
        };
        Self {
            files,
            power,
            config,
        }
    }

    fn blocking(mut self) -> Self {
        self.config.journal.on_full = OnFull::Block;
        self
    }

    fn spool(&self) -> SourceSpool {
        SourceSpool::open(self.files.folder("/journal")).unwrap()
    }

    fn capture(&self, disk: Arc<dyn SourceDisk>) -> Capture {
        Capture::start(&self.config, self.spool(), vec![disk], SystemClock).unwrap()
    }

    fn start<D: BlockDevice>(&self, device: Arc<D>) -> MirroredDevice<Arc<D>> {
        MirroredDevice::new(device.clone(), self.capture(device))
    }

    /// What a mirror would hold that started blank and applied every sealed file in order. The
    /// series ends outside of any group, and each digest in it is right.
    fn mirrored(&self) -> Vec<u8> {
        self.mirrored_from(vec![0; SIZE])
    }

    /// As [`mirrored`](Self::mirrored), of a mirror that held `image` before.
    fn mirrored_from(&self, mut image: Vec<u8>) -> Vec<u8> {
        let mut next = Lsn(1);
        let mut group = None;
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
                    Kind::Flush | Kind::Void | Kind::BaselineBegin | Kind::BaselineEnd { .. } => {}
                    Kind::GroupBegin { .. } => group = Some(iocb.lsn),
                    Kind::GroupEnd => group = None,
                    Kind::Verify { digest } => {
                        assert_eq!(group, None, "a digest in a group");
                        assert_eq!(aim_core::format::checksum::payload_checksum(range), digest);
                    }
                }
            }
        }
        assert_eq!(group, None, "the series ends in a group");
        image
    }

    /// Everything that is needed has been copied, and capture runs.
    fn heal<D: BlockDevice>(&self, mirrored: &MirroredDevice<D>) {
        wait_until(|| {
            let status = mirrored.capture().status();
            status.resync.is_none() && status.state == aim_core::capture::CaptureState::Capturing
        });
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

/// Waits for something that another thread does; ends the test if it never comes.
fn wait_until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

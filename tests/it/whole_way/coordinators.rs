//! Both real coordinators over a mounted directory, restarted in the middle.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_core::capture::{
    Capture, CaptureConfig, ExtentMap, Initial, MirroredDevice, SealPolicy, SourceDisk,
    StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::{ByteLen, ByteOffset};
use aim_remote::apply::{Applier, ApplyOptions};
use aim_remote::ship::{MaxLag, Retention, Rounds, ShipOptions, Shipper, Target, TargetKind};
use aim_remote::transport::LocalTransport;
use aim_tests::Rng;

pub(super) const SIZE: u64 = 4 << 20;
const REQUEST_MAX: usize = 64 << 10;

/// A source that seals often.
pub(super) fn start_capture(image: &Path, spool: SourceSpool) -> MirroredDevice<Arc<FileDevice>> {
    let config = CaptureConfig {
        seal: SealPolicy {
            bytes: ByteLen(256 << 10),
            age: Duration::from_millis(20),
        },
        compare: true,
        ..CaptureConfig::new(StagingConfig::anonymous(4, REQUEST_MAX))
    };
    let disk = Arc::new(FileDevice::open_exclusive(image).unwrap());
    let disks: Vec<Arc<dyn SourceDisk>> = vec![disk.clone()];
    let capture = Capture::start(&config, spool, disks, SystemClock).unwrap();
    MirroredDevice::new(disk, capture)
}

/// Both hosts, in folders of one.
struct Hosts {
    temp: tempfile::TempDir,
    identity: VolumeIdentity,
}

impl Hosts {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let hosts = Self { temp, identity };
        for name in ["journal", "mirror"] {
            std::fs::create_dir(hosts.path(name)).unwrap();
        }
        for name in ["source.img", "mirror.img"] {
            std::fs::write(hosts.path(name), vec![0; SIZE as usize]).unwrap();
        }
        let folder =
            |name| -> Arc<dyn Directory> { HostDirectory::open(hosts.path(name)).unwrap() };
        let journal = folder("journal");
        ExtentMap::create(&*journal, &hosts.identity, Initial::Identical, None).unwrap();
        SourceSpool::create(journal, &hosts.identity).unwrap();
        MirrorSpool::create(folder("mirror"), &hosts.identity).unwrap();
        hosts
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.temp.path().join(name)
    }

    fn source_spool(&self) -> SourceSpool {
        SourceSpool::open(HostDirectory::open(self.path("journal")).unwrap()).unwrap()
    }

    fn mirror_spool(&self) -> MirrorSpool {
        MirrorSpool::open(HostDirectory::open(self.path("mirror")).unwrap()).unwrap()
    }

    fn start_source(&self) -> MirroredDevice<Arc<FileDevice>> {
        start_capture(&self.path("source.img"), self.source_spool())
    }

    /// Ships, and carries what this capture asks.
    fn start_shipper_of(&self, mirrored: &MirroredDevice<Arc<FileDevice>>) -> Shipper {
        let transport = LocalTransport::new(self.path("mirror"));
        let target = Target {
            name: "mirror".to_owned(),
            kind: TargetKind::Mirror,
            max_lag: MaxLag::default(),
        };
        let capture = mirrored.capture();
        let retention = Retention::open(self.source_spool(), vec![target], capture).unwrap();
        let rounds = Rounds::to_target(retention, 0, transport);
        Shipper::go_round(rounds, ship_options()).unwrap()
    }

    fn start_shipper(&self) -> Shipper {
        let transport = LocalTransport::new(self.path("mirror"));
        Shipper::start(self.source_spool(), transport, ship_options()).unwrap()
    }

    fn start_applier(&self) -> Applier {
        let options = ApplyOptions {
            settle: Duration::ZERO,
            poll: Duration::from_millis(10),
            first_retry: Duration::from_millis(10),
            last_retry: Duration::from_millis(100),
        };
        let disk = FileDevice::open_exclusive(self.path("mirror.img")).unwrap();
        Applier::start(self.mirror_spool(), vec![Arc::new(disk)], options).unwrap()
    }
}

pub(super) fn ship_options() -> ShipOptions {
    ShipOptions {
        poll: Duration::from_millis(10),
        idle_poll: Duration::from_millis(10),
        first_retry: Duration::from_millis(10),
        last_retry: Duration::from_millis(100),
    }
}

/// Writes from several threads until each has made `count` changes.
pub(super) fn write_at_random(device: &dyn BlockDevice, seed: u64, count: usize) {
    std::thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || {
                let mut rng = Rng::new(seed * 16 + thread);
                for _ in 0..count {
                    change(device, &mut rng);
                }
            });
        }
    });
}

fn change(device: &dyn BlockDevice, rng: &mut Rng) {
    let blocks = SIZE / 512;
    let first = rng.below(blocks);
    let count = 1 + rng.below((blocks - first).min(100));
    let (offset, len) = (ByteOffset(first * 512), ByteLen(count * 512));
    match rng.below(12) {
        0 => device.write_zeroes(offset, len, rng.chance(2)).unwrap(),
        1 => device.discard(offset, len).unwrap(),
        2 => device.sync().unwrap(),
        _ => {
            let mut data = vec![0; len.get() as usize];
            rng.fill(&mut data);
            device.write(offset, &data).unwrap();
        }
    }
}

/// Waits for an event that something else brings about; the limit is only for a test that hangs.
pub(super) fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} did not happen"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (std::fs::read(left).unwrap(), std::fs::read(right).unwrap());
    assert!(left == right, "source and mirror differ");
}

#[test]
fn what_is_written_arrives_whoever_is_restarted() {
    let hosts = Hosts::new();
    let mut shipper = hosts.start_shipper();
    let mut applier = hosts.start_applier();
    for round in 0..6 {
        let mirrored = hosts.start_source();
        write_at_random(&mirrored, round, 40);
        if round % 2 == 0 {
            shipper.stop();
            shipper = hosts.start_shipper();
        }
        if round % 3 == 0 {
            applier.stop();
            applier = hosts.start_applier();
        }
        write_at_random(&mirrored, 100 + round, 10);
        mirrored.stop().unwrap();
    }
    let sealed = hosts.source_spool().sealed().unwrap();
    wait_until("the series to drain", || applier.status().applied == sealed);
    wait_until("the source to hear of it", || {
        hosts.source_spool().outgoing().unwrap().files.is_empty()
    });
    let status = applier.status();
    assert!(status.is_settled);
    assert_eq!(status.rejected_files, 0, "{:?}", status.last_rejected);
    shipper.stop();
    applier.stop();
    assert_same(&hosts.path("source.img"), &hosts.path("mirror.img"));
    assert!(hosts.mirror_spool().incoming().unwrap().files.is_empty());
}

#[test]
fn a_file_damaged_on_the_way_is_set_aside_and_sent_again() {
    let hosts = Hosts::new();
    let mirrored = hosts.start_source();
    write_at_random(&mirrored, 7, 40);
    mirrored.stop().unwrap();
    let sealed = hosts.source_spool().sealed().unwrap();
    let outgoing = hosts.source_spool().outgoing().unwrap();
    // the first file arrives with a byte altered, before the shipper looks
    let first = outgoing.oldest().unwrap().name.sealed();
    let source = hosts.path("journal").join("outgoing").join(&first);
    let mut bytes = std::fs::read(source).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    std::fs::write(hosts.path("mirror").join("incoming").join(&first), bytes).unwrap();

    let applier = hosts.start_applier();
    wait_until("the damage to be seen", || {
        applier.status().rejected_files == 1
    });
    assert!(applier.status().applied.is_start());
    let shipper = hosts.start_shipper();
    wait_until("the series to drain", || applier.status().applied == sealed);
    shipper.stop();
    applier.stop();
    assert_same(&hosts.path("source.img"), &hosts.path("mirror.img"));
    assert_eq!(hosts.mirror_spool().rejected().unwrap().files.len(), 1);
}

/// The mirror host tells what it holds, and only what differs is sent.
#[test]
fn a_first_copy_sends_what_differs() {
    let hosts = Hosts::new();
    let mut content = vec![0; SIZE as usize];
    Rng::new(3).fill(&mut content);
    std::fs::write(hosts.path("source.img"), &content).unwrap();
    for place in [70_000, 2_000_000, 2_100_000] {
        content[place] ^= 1;
    }
    std::fs::write(hosts.path("mirror.img"), &content).unwrap();
    let journal = HostDirectory::open(hosts.path("journal")).unwrap();
    ExtentMap::create(&*journal, &hosts.identity, Initial::Unknown, None).unwrap();

    let mirrored = hosts.start_source();
    let (shipper, applier) = (hosts.start_shipper_of(&mirrored), hosts.start_applier());
    wait_until("the copy", || mirrored.capture().status().resync.is_none());
    mirrored.stop().unwrap();
    let sealed = hosts.source_spool().sealed().unwrap();
    wait_until("the series to drain", || applier.status().applied == sealed);
    let sent = shipper.status().sent_bytes;
    assert!(sent < 100_000, "{sent} bytes were sent for three blocks");
    shipper.stop();
    applier.stop();
    assert_same(&hosts.path("source.img"), &hosts.path("mirror.img"));
}

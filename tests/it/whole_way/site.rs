//! A source, and mirror hosts to which it ships, all on this host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{ExtentMap, Initial, MirroredDevice};
use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::Standing;
use aim_core::device::FileDevice;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::ByteLen;
use aim_remote::apply::{Applier, ApplyOptions};
use aim_remote::ship::{LineOptions, MaxLag, Retention, Rounds, Shipper, Target, TargetKind};
use aim_remote::transport::LocalTransport;
use aim_tests::Rng;

use super::coordinators::{SIZE, assert_same, ship_options, start_capture, wait_until};

/// A source, and mirror hosts of these names, in folders of one.
pub(super) struct Site {
    temp: tempfile::TempDir,
    pub(super) identity: VolumeIdentity,
}

/// The daemon of the source.
pub(super) struct Source {
    pub(super) mirrored: MirroredDevice<Arc<FileDevice>>,
    pub(super) retention: Arc<Retention>,
    names: Vec<&'static str>,
}

impl Site {
    pub(super) fn new(initial: Initial) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let site = Self { temp, identity };
        std::fs::create_dir(site.path("journal")).unwrap();
        std::fs::write(site.path("source.img"), vec![0; SIZE as usize]).unwrap();
        let journal: Arc<dyn Directory> = HostDirectory::open(site.path("journal")).unwrap();
        ExtentMap::create(&*journal, &site.identity, initial, None).unwrap();
        SourceSpool::create(journal, &site.identity).unwrap();
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(super) fn image(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.img"))
    }

    /// Makes a mirror host whose disk holds `content`.
    pub(super) fn add_mirror(&self, name: &str, content: &[u8]) {
        std::fs::create_dir(self.path(name)).unwrap();
        std::fs::write(self.image(name), content).unwrap();
        MirrorSpool::create(
            HostDirectory::open(self.path(name)).unwrap(),
            &self.identity,
        )
        .unwrap();
    }

    pub(super) fn mirror(&self, name: &str) -> MirrorSpool {
        MirrorSpool::open(HostDirectory::open(self.path(name)).unwrap()).unwrap()
    }

    pub(super) fn spool(&self) -> SourceSpool {
        SourceSpool::open(HostDirectory::open(self.path("journal")).unwrap()).unwrap()
    }

    pub(super) fn start(&self, targets: &[(&'static str, MaxLag)]) -> Source {
        let kinds = targets.iter();
        let kinds = kinds.map(|(name, max_lag)| (*name, *max_lag, TargetKind::Mirror));
        self.start_kinds(&kinds.collect::<Vec<_>>())
    }

    pub(super) fn start_kinds(&self, targets: &[(&'static str, MaxLag, TargetKind)]) -> Source {
        let mirrored = start_capture(&self.path("source.img"), self.spool());
        let named = targets.iter().map(|(name, max_lag, kind)| Target {
            name: (*name).to_owned(),
            kind: *kind,
            max_lag: *max_lag,
        });
        let retention = Retention::open(self.spool(), named.collect(), mirrored.capture()).unwrap();
        Source {
            mirrored,
            retention,
            names: targets.iter().map(|(name, ..)| *name).collect(),
        }
    }

    pub(super) fn rounds(&self, source: &Source, name: &str) -> Rounds<LocalTransport> {
        let transport = LocalTransport::new(self.path(name));
        Rounds::to_target(source.retention.clone(), source.index(name), transport)
    }

    /// Rounds in which each file that is begun has arrived before anything else is done.
    pub(super) fn rounds_in_place(&self, source: &Source, name: &str) -> Rounds<LocalTransport> {
        let root = self.path(name);
        let transport = LocalTransport::in_place(self.path(name), move |folder| {
            Ok(HostDirectory::open(root.join(folder))?)
        });
        Rounds::to_target(source.retention.clone(), source.index(name), transport)
    }

    pub(super) fn ship_by(&self, source: &Source, name: &str, line: LineOptions) -> Shipper {
        Shipper::go_round(self.rounds(source, name).over(line), ship_options()).unwrap()
    }

    pub(super) fn ship(&self, source: &Source, name: &str) -> Shipper {
        Shipper::go_round(self.rounds(source, name), ship_options()).unwrap()
    }

    pub(super) fn apply(&self, name: &str) -> Applier {
        let disk = FileDevice::open_exclusive(self.image(name)).unwrap();
        Applier::start(self.mirror(name), vec![Arc::new(disk)], apply_options()).unwrap()
    }

    pub(super) fn kept_files(&self) -> usize {
        self.spool().outgoing().unwrap().files.len()
    }

    /// Stops the source, waits until these mirrors have applied all, and compares their disks.
    pub(super) fn finish(&self, source: Source, mirrors: Vec<(&str, Shipper, Applier)>) {
        for (name, ..) in &mirrors {
            wait_until("it follows", || source.standing(name) == Standing::Follows);
        }
        source.mirrored.stop().unwrap();
        let sealed = self.spool().sealed().unwrap();
        for (name, shipper, applier) in mirrors {
            wait_until("the series to drain", || applier.status().applied == sealed);
            wait_until("the source to hear of it", || {
                shipper.status().applied == sealed
            });
            shipper.stop();
            applier.stop();
            assert_same(&self.path("source.img"), &self.image(name));
        }
    }
}

impl Source {
    pub(super) fn index(&self, name: &str) -> usize {
        self.names.iter().position(|other| *other == name).unwrap()
    }

    pub(super) fn standing(&self, name: &str) -> Standing {
        self.retention.status(self.index(name)).standing
    }

    pub(super) fn check(&self) {
        self.retention.check(SystemClock.now(), None).unwrap();
    }
}

pub(super) fn apply_options() -> ApplyOptions {
    ApplyOptions {
        settle: Duration::ZERO,
        poll: Duration::from_millis(10),
        first_retry: Duration::from_millis(10),
        last_retry: Duration::from_millis(100),
    }
}

pub(super) fn blank() -> Vec<u8> {
    vec![0; SIZE as usize]
}

pub(super) fn random(seed: u64) -> Vec<u8> {
    let mut content = blank();
    Rng::new(seed).fill(&mut content);
    content
}

pub(super) const NO_LIMIT: MaxLag = MaxLag {
    bytes: None,
    age: None,
};

pub(super) const LAG: MaxLag = MaxLag {
    bytes: Some(1 << 20),
    age: None,
};

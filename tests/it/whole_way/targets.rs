//! Several targets: none holds up another, and whoever lacks files is brought back.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aim_core::capture::{
    Capture, CaptureConfig, ExtentMap, Initial, MirroredDevice, SealPolicy, SourceDisk,
    StagingConfig, Wanted,
};
use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::Standing;
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::packed::Level;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::{ByteLen, ByteOffset, Timestamp};
use aim_remote::apply::{Applier, ApplyOptions};
use aim_remote::file_io::{FileIo, run_blocking};
use aim_remote::ship::{LineOptions, MaxLag, Retention, Rounds, Shipper, Target, TargetKind};
use aim_remote::transport::{Bandwidth, LocalTransport};
use aim_tests::Rng;

use super::coordinators::{SIZE, assert_same, ship_options, wait_until, write_at_random};

const REQUEST_MAX: usize = 64 << 10;

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
        let config = CaptureConfig {
            seal: SealPolicy {
                bytes: ByteLen(256 << 10),
                age: Duration::from_millis(20),
            },
            compare: true,
            ..CaptureConfig::new(StagingConfig::anonymous(4, REQUEST_MAX))
        };
        let disk = Arc::new(FileDevice::open_exclusive(self.path("source.img")).unwrap());
        let disks: Vec<Arc<dyn SourceDisk>> = vec![disk.clone()];
        let capture = Capture::start(&config, self.spool(), disks, SystemClock).unwrap();
        let named = targets.iter().map(|(name, max_lag, kind)| Target {
            name: (*name).to_owned(),
            kind: *kind,
            max_lag: *max_lag,
        });
        let retention = Retention::open(self.spool(), named.collect(), &capture).unwrap();
        Source {
            mirrored: MirroredDevice::new(disk, capture),
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

#[test]
fn a_dead_and_a_slow_target_hold_up_neither_the_disk_nor_another() {
    let site = Site::new(Initial::Identical);
    for name in ["quick", "slow"] {
        site.add_mirror(name, &blank());
    }
    let targets = ["quick", "slow", "dead"].map(|name| (name, NO_LIMIT));
    let source = site.start(&targets);
    let (quick, applier) = (site.ship(&source, "quick"), site.apply("quick"));
    let dead = site.ship(&source, "dead");
    let mut slow = site.rounds_in_place(&source, "slow");
    write_at_random(&source.mirrored, 1, 60);
    let captured = source.mirrored.capture().status().captured;
    wait_until("the quick one to have it", || {
        applier.status().applied.lsn >= captured
    });
    let one_file = |rounds: &mut Rounds<LocalTransport>| {
        let io = FileIo::in_place();
        run_blocking(|_| async move { rounds.round(&io, Duration::ZERO).await }).unwrap()
    };
    one_file(&mut slow).unwrap();
    wait_until("the dead one to be said", || {
        dead.status().trouble.is_some()
    });
    let names = site.spool().outgoing().unwrap().files;
    assert_eq!(
        names[0].name.number.get(),
        1,
        "all is kept for the dead one"
    );
    // it comes to life, and lacks nothing
    site.add_mirror("dead", &blank());
    let slow_applier = site.apply("slow");
    let dead_applier = site.apply("dead");
    while source.standing("slow") == Standing::Follows
        && slow_applier.status().applied.lsn < captured
    {
        one_file(&mut slow).unwrap();
    }
    drop(slow);
    let slow = site.ship(&source, "slow");
    assert!(!source.mirrored.capture().baselines().status().is_wanted);
    site.finish(
        source,
        vec![
            ("quick", quick, applier),
            ("slow", slow, slow_applier),
            ("dead", dead, dead_applier),
        ],
    );
    assert_eq!(site.kept_files(), 0);
}

#[test]
fn who_is_past_its_max_lag_is_left_and_brought_back_byte_for_byte() {
    let site = Site::new(Initial::Identical);
    for name in ["one", "two"] {
        site.add_mirror(name, &blank());
    }
    let source = site.start(&[("one", NO_LIMIT), ("two", LAG)]);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let (two, two_applier) = (site.ship(&source, "two"), site.apply("two"));
    write_at_random(&source.mirrored, 2, 20);
    let captured = source.mirrored.capture().status().captured;
    wait_until("both to have it", || {
        two_applier.status().applied.lsn >= captured && one_applier.status().applied.lsn >= captured
    });
    two.stop();
    two_applier.stop();
    write_at_random(&source.mirrored, 3, 100);
    wait_until("it to be left", || {
        source.check();
        source.standing("two") == Standing::Left
    });
    let why = source.retention.status(1).left_because.unwrap();
    assert!(why.contains("more than 1048576"), "{why}");
    wait_until("nothing to be kept for it", || {
        source.check();
        site.kept_files() == 0
    });
    // its disk decays meanwhile: whatever it holds is made good
    std::fs::write(site.image("two"), random(8)).unwrap();
    let (two, two_applier) = (site.ship(&source, "two"), site.apply("two"));
    let before = one_applier.status().applied;
    write_at_random(&source.mirrored, 4, 40);
    wait_until("it to follow again", || {
        source.standing("two") == Standing::Follows
    });
    assert!(one_applier.status().applied.lsn > before.lsn);
    assert_eq!(source.retention.status(1).left_because, None);
    write_at_random(&source.mirrored, 5, 20);
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
}

/// One file in a round, so that it is behind for many rounds; the files are kept for another one.
#[test]
fn who_is_left_gets_what_is_here_and_follows_once_it_is_within_its_max_lag() {
    let site = Site::new(Initial::Identical);
    for name in ["one", "two"] {
        site.add_mirror(name, &blank());
    }
    let source = site.start(&[("one", NO_LIMIT), ("two", LAG)]);
    let mut rounds = site.rounds_in_place(&source, "two");
    let two_applier = site.apply("two");
    let mut round = || {
        let io = FileIo::in_place();
        run_blocking(|_| async { rounds.round(&io, Duration::ZERO).await }).unwrap()
    };
    write_at_random(&source.mirrored, 19, 3);
    let captured = source.mirrored.capture().status().captured;
    wait_until("it to have that", || {
        round().unwrap();
        two_applier.status().applied.lsn >= captured
    });
    write_at_random(&source.mirrored, 20, 100);
    wait_until("it to be left", || {
        source.check();
        source.standing("two") == Standing::Left
    });
    let mut was_left = 0;
    while source.standing("two") == Standing::Left {
        round().unwrap();
        let status = source.retention.status(1);
        source.check();
        let after = source.retention.status(1);
        assert_eq!(after.standing, status.standing, "as the round has found it");
        was_left += 1;
        assert!(was_left < 10_000, "it does not get within its max_lag");
    }
    assert!(was_left > 2, "{was_left} rounds");
    assert_eq!(source.standing("two"), Standing::Follows);
    assert_eq!(source.retention.status(1).left_because, None);
    assert!(!source.mirrored.capture().baselines().status().is_wanted);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let two = site.ship(&source, "two");
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
}

/// Several packed files are on their way, on a line that never gets through with them.
#[test]
fn who_is_left_while_files_are_on_their_way_takes_up_the_series_at_a_packed_baseline() {
    let site = Site::new(Initial::Identical);
    for name in ["one", "two"] {
        site.add_mirror(name, &blank());
    }
    let source = site.start(&[("one", NO_LIMIT), ("two", LAG)]);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let packing = LineOptions {
        compression: Some(Level::MIN),
        ..LineOptions::default()
    };
    let slow = LineOptions {
        bandwidth: Bandwidth::always(NonZeroU64::new(64 << 10).unwrap()),
        ..packing.clone()
    };
    let (two, two_applier) = (site.ship_by(&source, "two", slow), site.apply("two"));
    write_at_random(&source.mirrored, 17, 100);
    wait_until("something to be on its way", || two.status().sent_bytes > 0);
    // it is reached all the time, and follows again while the other one still needs the files
    wait_until("it to be left, and to join", || {
        source.check();
        source.standing("two") == Standing::Joins
    });
    two.stop();
    let two = site.ship_by(&source, "two", packing);
    write_at_random(&source.mirrored, 18, 20);
    wait_until("it to follow again", || {
        source.standing("two") == Standing::Follows
    });
    write_at_random(&source.mirrored, 19, 20);
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
    for name in ["one", "two"] {
        let spool = MirrorSpool::open(HostDirectory::open(site.path(name)).unwrap()).unwrap();
        let rejected = spool.rejected().unwrap();
        assert!(rejected.files.is_empty() && rejected.packed.is_empty());
    }
}

#[test]
fn the_age_of_what_a_target_lacks_counts_too() {
    let site = Site::new(Initial::Identical);
    let hour = Duration::from_secs(3600);
    let source = site.start(&[
        ("one", NO_LIMIT),
        (
            "two",
            MaxLag {
                age: Some(hour),
                bytes: None,
            },
        ),
    ]);
    write_at_random(&source.mirrored, 6, 5);
    wait_until("a file", || site.kept_files() > 0);
    let later = |seconds: u64| Timestamp(SystemClock.now().get() + seconds * 1_000_000_000);
    source.retention.check(later(3000), None).unwrap();
    assert_eq!(source.standing("two"), Standing::Follows);
    source.retention.check(later(3700), None).unwrap();
    assert_eq!(source.standing("two"), Standing::Left);
    assert_eq!(source.standing("one"), Standing::Follows);
    assert!(site.kept_files() > 0, "the other one lacks them too");
}

#[test]
fn where_the_journal_fills_up_who_is_furthest_behind_is_left_and_never_the_last_one() {
    let site = Site::new(Initial::Identical);
    let source = site.start(&[("one", NO_LIMIT), ("two", NO_LIMIT)]);
    site.add_mirror("one", &blank());
    let (one, applier) = (site.ship(&source, "one"), site.apply("one"));
    write_at_random(&source.mirrored, 15, 40);
    let captured = source.mirrored.capture().status().captured;
    wait_until("one to have it", || one.status().received.lsn >= captured);
    let used = site.spool().outgoing().unwrap().bytes();
    let check = |room| {
        source
            .retention
            .check(SystemClock.now(), Some(room))
            .unwrap()
    };
    check(used * 2);
    assert_eq!(source.standing("two"), Standing::Follows);
    check(used);
    assert_eq!(source.standing("two"), Standing::Left);
    let why = source.retention.status(1).left_because.unwrap();
    assert!(why.contains("the journal uses"), "{why}");
    // the other one is never left for want of room: that would help nobody
    one.stop();
    write_at_random(&source.mirrored, 16, 40);
    wait_until("files", || site.kept_files() > 0);
    check(1);
    assert_eq!(source.standing("one"), Standing::Follows);
    let one = site.ship(&source, "one");
    site.finish(source, vec![("one", one, applier)]);
}

/// All files from the first one on are still here when it comes, but it was not asked about what
/// was left out, nor said to hold the same.
#[test]
fn who_is_added_later_gets_all_of_the_disk() {
    let site = Site::new(Initial::Identical);
    let content = random(1);
    std::fs::write(site.path("source.img"), &content).unwrap();
    site.add_mirror("one", &content);
    let source = site.start(&[("one", NO_LIMIT)]);
    write_at_random(&source.mirrored, 7, 40);
    source.mirrored.stop().unwrap();
    assert_eq!(
        site.spool().outgoing().unwrap().files[0].name.number.get(),
        1
    );

    site.add_mirror("two", &random(2));
    let source = site.start(&[("one", NO_LIMIT), ("two", LAG)]);
    assert_eq!(source.standing("one"), Standing::Follows);
    assert_eq!(source.standing("two"), Standing::New);
    let (two, two_applier) = (site.ship(&source, "two"), site.apply("two"));
    wait_until("it to join", || source.standing("two") == Standing::Joins);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    write_at_random(&source.mirrored, 8, 40);
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
    // one that is taken out of the configuration lets go
    let source = site.start(&[("one", NO_LIMIT)]);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    write_at_random(&source.mirrored, 9, 10);
    site.finish(source, vec![("one", one, one_applier)]);
    assert_eq!(site.kept_files(), 0);
}

#[test]
fn what_one_target_lacks_is_kept_over_a_restart_between_two_receipts() {
    let site = Site::new(Initial::Identical);
    for name in ["one", "two"] {
        site.add_mirror(name, &blank());
    }
    let targets = ["one", "two"].map(|name| (name, NO_LIMIT));
    let source = site.start(&targets);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let (two, two_applier) = (site.ship(&source, "two"), site.apply("two"));
    write_at_random(&source.mirrored, 10, 20);
    wait_until("both have some", || {
        !two_applier.status().applied.is_start() && site.kept_files() == 0
    });
    let had = two_applier.status().received;
    two.stop();
    write_at_random(&source.mirrored, 11, 20);
    source.mirrored.stop().unwrap();
    let sealed = site.spool().sealed().unwrap();
    wait_until("one has all", || one.status().received == sealed);
    one.stop();

    // the other one can't be reached at this start
    let source = site.start(&targets);
    let one = site.ship(&source, "one");
    write_at_random(&source.mirrored, 12, 20);
    let captured = source.mirrored.capture().status().captured;
    wait_until("one has more", || one.status().received.lsn >= captured);
    source.check();
    let first = site.spool().outgoing().unwrap().files[0].name.number;
    assert!(first <= had.file.next(), "{first} is kept, {had} is there");
    let two = site.ship(&source, "two");
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
    assert_eq!(site.kept_files(), 0);
}

/// What is the same on one mirror is not on the other.
#[test]
fn a_first_copy_sends_what_any_of_them_lacks() {
    let site = Site::new(Initial::Unknown);
    let content = random(3);
    std::fs::write(site.path("source.img"), &content).unwrap();
    for (name, places) in [
        ("one", [70_000, 2_000_000]),
        ("two", [2_000_000, 3_000_000]),
    ] {
        let mut content = content.clone();
        places.into_iter().for_each(|place| content[place] ^= 1);
        site.add_mirror(name, &content);
    }
    let source = site.start(&[("one", NO_LIMIT), ("two", NO_LIMIT)]);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let (two, two_applier) = (site.ship(&source, "two"), site.apply("two"));
    wait_until("the copy", || {
        source.mirrored.capture().status().resync.is_none()
    });
    let sent = one.status().sent_bytes;
    assert!(sent < 100_000, "{sent} bytes were sent for three blocks");
    source.mirrored.write(ByteOffset(0), &[1; 512]).unwrap();
    site.finish(
        source,
        vec![("one", one, one_applier), ("two", two, two_applier)],
    );
}

/// Another mirror under the same name has been asked nothing, and holds something else.
#[test]
fn a_mirror_in_the_place_of_another_gets_all_of_the_disk() {
    use aim_core::identity::MirrorIdentity;
    use aim_core::units::MirrorId;
    let site = Site::new(Initial::Identical);
    let pair = |name: &str| {
        let spool = MirrorSpool::open(HostDirectory::open(site.path(name)).unwrap()).unwrap();
        let pairing = MirrorIdentity {
            id: MirrorId::generate(),
            volume: site.identity.id,
            devices: vec![Default::default()],
        };
        spool.pair(&pairing).unwrap();
    };
    site.add_mirror("one", &blank());
    pair("one");
    let source = site.start(&[("one", NO_LIMIT)]);
    let one = site.ship(&source, "one");
    write_at_random(&source.mirrored, 13, 10);
    wait_until("files to be there", || one.status().shipped.lsn.get() > 5);
    one.stop();
    std::fs::remove_dir_all(site.path("one")).unwrap();
    site.add_mirror("one", &random(5));
    pair("one");
    let (one, applier) = (site.ship(&source, "one"), site.apply("one"));
    wait_until("it to be noticed", || {
        source.standing("one") == Standing::Joins
    });
    write_at_random(&source.mirrored, 14, 10);
    site.finish(source, vec![("one", one, applier)]);
}

/// A mirror stands in for what is read out of a store: it says how far it is, and answers nothing.
#[test]
fn nothing_is_left_out_for_a_place_that_cant_be_asked() {
    let site = Site::new(Initial::Unknown);
    let content = random(21);
    std::fs::write(site.path("source.img"), &content).unwrap();
    site.add_mirror("one", &content);
    site.add_mirror("store", &random(22));
    let source = site.start_kinds(&[
        ("one", NO_LIMIT, TargetKind::Mirror),
        ("store", NO_LIMIT, TargetKind::Store),
    ]);
    assert_eq!(source.standing("store"), Standing::New);
    let (one, one_applier) = (site.ship(&source, "one"), site.apply("one"));
    let (store, store_applier) = (site.ship(&source, "store"), site.apply("store"));
    wait_until("a baseline", || source.standing("store") == Standing::Joins);
    wait_until("it to have it", || {
        source.standing("store") == Standing::Follows
    });
    wait_until("the copy", || {
        source.mirrored.capture().status().resync.is_none()
    });
    let captured = source.mirrored.capture().status().captured;
    wait_until("one to have all", || one.status().applied.lsn >= captured);
    let sent = one.status().sent_bytes;
    // all of it is the same on the mirror that could be asked
    source.mirrored.capture().request_resync(&[Wanted::All]);
    let status = || source.mirrored.capture().status();
    wait_until("the other copy", || {
        status().captured > captured && status().resync.is_none()
    });
    let captured = status().captured;
    wait_until("one to have it", || one.status().applied.lsn >= captured);
    assert!(one.status().sent_bytes - sent > SIZE);
    site.finish(
        source,
        vec![("one", one, one_applier), ("store", store, store_applier)],
    );
}

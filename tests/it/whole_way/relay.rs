//! A mirror host that passes on what it receives: source, relay, and mirrors behind it that nobody asks.

use std::sync::Arc;

use aim_core::capture::Initial;
use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::{Standing, TargetsCursor};
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::HostDirectory;
use aim_core::identity::MirrorIdentity;
use aim_core::spool::MirrorSpool;
use aim_core::state_file::StateFile;
use aim_core::units::{ByteOffset, Lsn, MirrorId};
use aim_remote::apply::Applier;
use aim_remote::relay::Relay;
use aim_remote::ship::{MaxLag, Retention, Rounds, Shipper, Target, TargetKind};
use aim_remote::transport::LocalTransport;

use super::coordinators::{assert_same, ship_options, wait_until, write_at_random};
use super::site::{LAG, NO_LIMIT, Site, Source, apply_options, blank, random};

/// The daemon of a mirror host that passes on what it receives.
struct RelayHost {
    relay: Arc<Relay>,
    retention: Arc<Retention>,
    applier: Applier,
    shippers: Vec<Shipper>,
}

impl RelayHost {
    fn start(site: &Site, name: &str, targets: &[(&str, MaxLag)]) -> Self {
        let relay = Relay::open(site.mirror(name)).unwrap();
        let named = targets.iter().map(|(name, max_lag)| Target {
            name: (*name).to_owned(),
            kind: TargetKind::Mirror,
            max_lag: *max_lag,
        });
        let retention = Retention::relay(&relay, named.collect()).unwrap();
        let disk = FileDevice::open_exclusive(site.image(name)).unwrap();
        let applier = Applier::start_relaying(&relay, vec![Arc::new(disk)], apply_options());
        let shippers = targets.iter().enumerate().map(|(index, (name, _))| {
            let transport = LocalTransport::new(site.path(name));
            let rounds = Rounds::to_target(retention.clone(), index, transport);
            Shipper::go_round(rounds, ship_options()).unwrap()
        });
        Self {
            shippers: shippers.collect(),
            applier: applier.unwrap(),
            relay,
            retention,
        }
    }

    fn stop(self) {
        self.applier.stop();
        self.shippers.into_iter().for_each(Shipper::stop);
    }

    fn standing(&self, index: usize) -> Standing {
        self.retention.status(index).standing
    }

    fn check(&self) {
        self.retention.check(SystemClock.now(), None).unwrap();
    }
}

impl Site {
    /// Makes a mirror host that nobody asks, whose disk holds `content`.
    pub(super) fn add_follower(&self, name: &str, content: &[u8]) {
        std::fs::create_dir(self.path(name)).unwrap();
        std::fs::write(self.image(name), content).unwrap();
        let root = HostDirectory::open(self.path(name)).unwrap();
        let spool = MirrorSpool::create_follower(root, &self.identity).unwrap();
        let pairing = MirrorIdentity {
            id: MirrorId::generate(),
            volume: self.identity.id,
            devices: vec![Default::default()],
        };
        spool.pair(&pairing).unwrap();
    }

    fn content(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.image(name)).unwrap()
    }
}

fn captured(source: &Source) -> Lsn {
    source.mirrored.capture().status().captured
}

/// Stops the source, waits until all have applied everything, and compares their disks.
fn finish(site: &Site, source: Source, relay: RelayHost, behind: Vec<(&str, Applier)>) {
    for (index, (name, _)) in behind.iter().enumerate() {
        wait_until(&format!("{name} follows"), || {
            relay.standing(index) == Standing::Follows
        });
    }
    source.mirrored.stop().unwrap();
    let sealed = site.spool().sealed().unwrap();
    wait_until("the relay to have all", || {
        relay.applier.status().applied == sealed
    });
    assert!(relay.applier.status().rejected_files == 0);
    for (index, (name, applier)) in behind.into_iter().enumerate() {
        wait_until(&format!("{name} to have all"), || {
            applier.status().applied == sealed
        });
        wait_until("the relay to hear of it", || {
            relay.shippers[index].status().applied == sealed
        });
        let status = applier.status();
        assert!(status.differences.is_empty(), "{:?}", status.differences);
        assert_eq!(status.rejected_files, 0, "{:?}", status.last_rejected);
        applier.stop();
        assert_same(&site.path("source.img"), &site.image(name));
    }
    relay.check();
    assert_eq!(relay.relay.wanted(), Lsn(0));
    relay.stop();
    assert_same(&site.path("source.img"), &site.image("relay"));
    let left = site.mirror("relay").incoming().unwrap();
    assert!(left.files.is_empty() && left.packed.is_empty());
}

#[test]
fn what_is_written_goes_on_to_a_third() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(1));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let _shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    write_at_random(&source.mirrored, 21, 40);
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    write_at_random(&source.mirrored, 22, 40);
    // it is dead for a while: what it lacks is kept, also when it is applied
    third.stop();
    write_at_random(&source.mirrored, 23, 40);
    let at = captured(&source);
    wait_until("the relay to have it", || {
        relay.applier.status().applied.lsn >= at
    });
    let had = site.mirror("third").cursor().unwrap().get().received;
    wait_until("the relay to keep just what it lacks", || {
        relay.check();
        let kept = site.mirror("relay").incoming().unwrap();
        kept.oldest().unwrap().name.number == had.file.next()
    });
    // and over a restart of the relay
    relay.stop();
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    write_at_random(&source.mirrored, 24, 40);
    let third = site.apply("third");
    assert_eq!(relay.standing(0), Standing::Follows);
    finish(&site, source, relay, vec![("third", third)]);
}

/// A first copy that leaves out nearly all, as the relay holds it.
#[test]
fn who_holds_something_else_takes_up_nothing_before_a_baseline() {
    let site = Site::new(Initial::Unknown);
    let content = random(3);
    std::fs::write(site.path("source.img"), &content).unwrap();
    let mut nearly = content.clone();
    nearly[70_000] ^= 1;
    site.add_mirror("relay", &nearly);
    let other = random(4);
    site.add_follower("third", &other);
    site.add_follower("brought", &other);
    let source = site.start(&[("relay", NO_LIMIT)]);
    let shipper = site.ship(&source, "relay");
    // nothing is passed on yet, and what is applied stays here: nobody looks at what is needed
    let relay = RelayHost::start(&site, "relay", &[]);
    wait_until("the copy", || {
        source.mirrored.capture().status().resync.is_none()
    });
    assert!(shipper.status().sent_bytes < 100_000);
    source
        .mirrored
        .write(ByteOffset(8000 * 512), &[1; 512])
        .unwrap();
    let at = captured(&source);
    wait_until("the relay to have it", || {
        relay.applier.status().applied.lsn >= at
    });
    relay.stop();

    // somebody else brings all files from the first one on
    for file in site.mirror("relay").incoming().unwrap().files {
        let path = |host: &str| site.path(host).join("incoming").join(file.name.sealed());
        std::fs::copy(path("relay"), path("brought")).unwrap();
    }
    let applier = site.apply("brought");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    source.mirrored.write(ByteOffset(0), &[1; 512]).unwrap();
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    wait_until("it to have looked", || applier.status().waiting_files > 1);
    let status = applier.status();
    assert!(status.waits_for_baseline && status.received.is_start());
    assert!(site.content("brought") == other);
    applier.stop();
    finish(&site, source, relay, vec![("third", third)]);
}

#[test]
fn who_is_left_or_comes_later_is_brought_up_by_a_baseline() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(5));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let _shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", LAG), ("fourth", NO_LIMIT)]);
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    third.stop();
    // it can't be reached any more; the other one never was, and holds nothing back
    std::fs::rename(site.path("third"), site.path("away")).unwrap();
    write_at_random(&source.mirrored, 31, 100);
    wait_until("it to be left", || {
        relay.check();
        relay.standing(0) == Standing::Left
    });
    let why = relay.retention.status(0).left_because.unwrap();
    assert!(why.contains("more than 1048576"), "{why}");
    wait_until("nothing to be kept for it", || {
        relay.check();
        site.mirror("relay").incoming().unwrap().files.is_empty()
    });
    // its disk decays meanwhile: whatever it holds is made good
    std::fs::write(site.image("third"), random(8)).unwrap();
    std::fs::rename(site.path("away"), site.path("third")).unwrap();
    site.add_follower("fourth", &random(6));
    let (third, fourth) = (site.apply("third"), site.apply("fourth"));
    write_at_random(&source.mirrored, 32, 40);
    wait_until("it to follow again", || {
        relay.standing(0) == Standing::Follows
    });
    write_at_random(&source.mirrored, 33, 20);
    finish(
        &site,
        source,
        relay,
        vec![("third", third), ("fourth", fourth)],
    );
}

/// What a relay has forgotten of a mirror behind it, it does not assume.
#[test]
fn who_is_not_known_any_more_takes_up_the_series_anew() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(9));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    relay.stop();
    shipper.stop();
    std::fs::remove_file(site.path("relay").join(TargetsCursor::NAME)).unwrap();
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    wait_until("a baseline to be asked for", || {
        relay.relay.wanted() > Lsn(0)
    });
    let _shipper = site.ship(&source, "relay");
    finish(&site, source, relay, vec![("third", third)]);
}

#[test]
fn a_relay_may_stand_behind_a_relay() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(41));
    site.add_follower("fourth", &random(42));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let _shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    let third = RelayHost::start(&site, "third", &[]);
    wait_until("the third to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    write_at_random(&source.mirrored, 43, 20);
    third.stop();
    let third = RelayHost::start(&site, "third", &[("fourth", NO_LIMIT)]);
    let fourth = site.apply("fourth");
    wait_until("the fourth to be brought up", || {
        third.standing(0) == Standing::Follows
    });
    write_at_random(&source.mirrored, 44, 20);
    source.mirrored.stop().unwrap();
    let sealed = site.spool().sealed().unwrap();
    wait_until("the series to drain", || fourth.status().applied == sealed);
    fourth.stop();
    third.stop();
    relay.stop();
    for name in ["relay", "third", "fourth"] {
        assert_same(&site.path("source.img"), &site.image(name));
    }
}

#[test]
fn where_the_room_gets_short_even_the_only_one_behind_a_relay_is_left() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(51));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let _shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    third.stop();
    std::fs::rename(site.path("third"), site.path("away")).unwrap();
    write_at_random(&source.mirrored, 52, 40);
    let at = captured(&source);
    wait_until("the relay to have it", || {
        relay.applier.status().applied.lsn >= at
    });
    let used = site.mirror("relay").incoming().unwrap().bytes();
    let check = |room| {
        let now = SystemClock.now();
        relay.retention.check(now, Some(room)).unwrap();
        relay.standing(0)
    };
    assert_eq!(check(used * 2), Standing::Follows);
    assert_eq!(check(used), Standing::Left);
    assert!(site.mirror("relay").incoming().unwrap().files.is_empty());
    std::fs::rename(site.path("away"), site.path("third")).unwrap();
    let third = site.apply("third");
    wait_until("it to follow again", || {
        relay.standing(0) == Standing::Follows
    });
    finish(&site, source, relay, vec![("third", third)]);
}

/// The disk of the third decays. Nobody asks what it holds, so only all of the disk mends it.
#[test]
fn a_baseline_mends_who_differs_behind_a_relay() {
    let site = Site::new(Initial::Identical);
    site.add_mirror("relay", &blank());
    site.add_follower("third", &random(61));
    let source = site.start(&[("relay", NO_LIMIT)]);
    let _shipper = site.ship(&source, "relay");
    let relay = RelayHost::start(&site, "relay", &[("third", NO_LIMIT)]);
    let third = site.apply("third");
    wait_until("it to be brought up", || {
        relay.standing(0) == Standing::Follows
    });
    third.stop();
    let mut content = site.content("third");
    content[70_000] ^= 1;
    std::fs::write(site.image("third"), content).unwrap();
    let third = site.apply("third");
    let capture = source.mirrored.capture();
    capture.request_verify();
    wait_until("the difference to be found", || {
        !third.status().differences.is_empty()
    });
    assert!(relay.applier.status().differences.is_empty());
    // an operator has no number that a target may have
    let (operator, from) = (u32::MAX, captured(&source).next());
    capture.baselines().want(operator, from);
    wait_until("a baseline", || capture.baselines().status().ended >= from);
    finish(&site, source, relay, vec![("third", third)]);
}

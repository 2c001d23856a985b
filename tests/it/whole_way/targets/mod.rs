//! Several targets: none holds up another, and whoever lacks files is brought back.

mod max_lag;

use std::time::Duration;

use aim_core::capture::{Initial, Wanted};
use aim_core::cursor::Standing;
use aim_core::device::BlockDevice;
use aim_core::fs::HostDirectory;
use aim_core::spool::MirrorSpool;
use aim_core::units::ByteOffset;
use aim_remote::file_io::{FileIo, run_blocking};
use aim_remote::ship::{Rounds, TargetKind};
use aim_remote::transport::LocalTransport;

use super::coordinators::{SIZE, wait_until, write_at_random};
use super::site::{LAG, NO_LIMIT, Site, blank, random};

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

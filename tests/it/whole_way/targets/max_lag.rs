//! Who is further behind than it may be is left, gets what is here, and follows again.

use std::num::NonZeroU64;
use std::time::Duration;

use aim_core::capture::Initial;
use aim_core::clock::{Clock, SystemClock};
use aim_core::cursor::Standing;
use aim_core::fs::HostDirectory;
use aim_core::packed::Level;
use aim_core::spool::MirrorSpool;
use aim_core::units::Timestamp;
use aim_remote::file_io::{FileIo, run_blocking};
use aim_remote::ship::{LineOptions, MaxLag};
use aim_remote::transport::Bandwidth;

use crate::whole_way::coordinators::{wait_until, write_at_random};
use crate::whole_way::site::{LAG, NO_LIMIT, Site, blank, random};

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

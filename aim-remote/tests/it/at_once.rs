//! Several files on their way at once.

use std::num::NonZeroUsize;

use aim_core::fs::HostDirectory;
use aim_remote::file_io;
use aim_remote::ship::{LineOptions, Rounds, ShipError};
use aim_remote::transport::{LocalTransport, TransportError};

use crate::apply::seal_with_baseline;
use crate::site::{Site, eventually};
use crate::steered::{Failure, Steering};

fn line(files: usize) -> LineOptions {
    LineOptions {
        files: NonZeroUsize::new(files).unwrap(),
        ..LineOptions::default()
    }
}

fn names(site: &Site) -> Vec<String> {
    site.files.iter().map(|file| file.name.sealed()).collect()
}

#[test]
fn they_start_in_their_order_and_only_so_many() {
    let mut site = Site::new(40);
    site.seal(6);
    let names = names(&site);
    let steering = Steering::new();
    names.iter().for_each(|name| steering.hold(name));
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let shipper = site.ship_by(far, line(3));
    eventually("three are begun", || steering.begun().len() == 3);
    assert_eq!(steering.begun(), names[..3]);
    // the place of one that has arrived goes to the next
    steering.release(&names[1]);
    eventually("the next one is begun", || steering.begun().len() == 4);
    assert!(site.incoming(&names[1]).exists());
    assert_eq!(steering.begun(), names[..4]);
    names.iter().for_each(|name| steering.release(name));
    let applier = site.apply();
    site.wait_until_equal(&shipper, &applier);
    assert_eq!(steering.begun(), names);
}

#[test]
fn a_later_file_that_arrives_first_waits_on_the_mirror() {
    let mut site = Site::new(41);
    site.seal(4);
    let names = names(&site);
    let steering = Steering::new();
    steering.hold(&names[1]);
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let (shipper, applier) = (site.ship_by(far, line(4)), site.apply());
    eventually("the mirror misses the one that is held", || {
        let status = applier.status();
        status.missing == Some(site.files[1].name.number) && status.waiting_files == 2
    });
    assert_eq!(applier.status().received, site.files[0].position);
    // only files without a gap before them are shipped
    eventually("the source knows", || {
        shipper.status().received == site.files[0].position
    });
    assert_eq!(shipper.status().shipped, site.files[0].position);
    // what came before is settled while the file is still on its way
    eventually("receipts are looked for", || {
        !site.outgoing(&site.files[0]).exists()
    });
    assert!(site.outgoing(&site.files[3]).exists());
    steering.release(&names[1]);
    site.wait_until_equal(&shipper, &applier);
    assert_eq!(shipper.status().shipped, site.sealed());
    assert_eq!(steering.begun().len(), 4, "nothing is sent twice");
}

#[test]
fn a_file_that_fails_leaves_the_others_what_they_have() {
    let mut site = Site::new(42);
    site.seal(8);
    let names = names(&site);
    let steering = Steering::new();
    steering.fail(&names[0], Some(Failure::Refused));
    steering.hold(&names[0]);
    steering.hold(&names[1]);
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let shipper = site.ship_by(far, line(2));
    eventually("two are begun", || steering.begun().len() == 2);
    steering.release(&names[0]);
    // a place is free, and nothing new is begun after a failure
    steering.release(&names[1]);
    eventually("it is said", || {
        let trouble = shipper.status().trouble;
        trouble.is_some_and(|trouble| {
            let of_the_file = matches!(
                &*trouble.error,
                ShipError::Transport(TransportError::Refused { place, .. }) if *place == names[0]
            );
            of_the_file && trouble.attempts > 2
        })
    });
    // the other one was brought to its end, and is not sent again
    assert!(site.incoming(&names[1]).exists());
    let begun = steering.begun();
    assert_eq!(begun.iter().filter(|name| **name == names[1]).count(), 1);
    assert!(shipper.status().shipped.is_start());
    steering.fail(&names[0], None);
    let applier = site.apply();
    site.wait_until_equal(&shipper, &applier);
}

/// Whoever carries all of them once hears of all of them.
#[test]
fn files_that_arrive_in_the_same_moment_are_all_counted() {
    let mut site = Site::new(45);
    site.seal(3);
    let names = names(&site);
    let steering = Steering::new();
    names.iter().for_each(|name| steering.hold(name));
    let root = site.directory.path().to_owned();
    // it waits for nothing but the steering
    let far = LocalTransport::in_place(site.directory.path(), move |folder| {
        Ok(HostDirectory::open(root.join(folder))?)
    });
    let mut rounds = Rounds::new(site.source(), steering.over(far)).over(line(3));
    let status = file_io::run_blocking(|io| async move {
        let release = async {
            while steering.begun().len() < 3 {
                tokio::task::yield_now().await;
            }
            steering.release_all();
        };
        tokio::join!(rounds.put_all(&io), release).0
    });
    let status = status.unwrap().unwrap();
    assert_eq!(status.shipped, site.sealed());
    let bytes: usize = site.files.iter().map(|file| site.bytes(file).len()).sum();
    assert_eq!(status.delivered_bytes, bytes as u64);
}

/// That a file is on its way again does not show that what was in the way has passed.
#[test]
fn a_trouble_lasts_until_a_file_has_arrived() {
    let mut site = Site::new(44);
    site.seal(1);
    let name = site.files[0].name.sealed();
    let steering = Steering::new();
    steering.fail(&name, Some(Failure::Refused));
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let shipper = site.ship_by(far, line(4));
    eventually("it is said", || shipper.status().trouble.is_some());
    steering.hold(&name);
    let begun = steering.begun().len();
    eventually("it is begun again", || steering.begun().len() > begun);
    let looks = steering.looks();
    eventually("rounds go on", || steering.looks() > looks + 3);
    assert!(shipper.status().trouble.is_some());
    steering.fail(&name, None);
    steering.release(&name);
    eventually("it has passed", || shipper.status().trouble.is_none());
    assert_eq!(shipper.status().shipped, site.sealed());
}

#[test]
fn a_line_that_breaks_under_all_is_one_trouble() {
    let mut site = Site::new(43);
    site.seal(4);
    let names = names(&site);
    let steering = Steering::new();
    steering.fail(&names[2], Some(Failure::Line));
    for held in [&names[0], &names[1], &names[3]] {
        steering.hold(held);
    }
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let shipper = site.ship_by(far, line(4));
    // the others would wait for ever
    eventually("it is said", || {
        let trouble = shipper.status().trouble;
        trouble.is_some_and(|trouble| trouble.message().contains("lost the connection"))
    });
    names.iter().for_each(|name| steering.release(name));
    steering.fail(&names[2], None);
    let applier = site.apply();
    site.wait_until_equal(&shipper, &applier);
}

/// A mirror to which a baseline came before the file that it needs next would go on there, and
/// stay where it is until the end of the baseline.
#[test]
fn a_baseline_waits_for_all_files_before_it() {
    let mut site = Site::new(46);
    // files 1 to 3; 4 and 5 begin baselines, 7 ends the second one, 8
    seal_with_baseline(&mut site, 3);
    let names = names(&site);
    let steering = Steering::new();
    steering.hold(&names[1]);
    steering.hold(&names[6]);
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let (shipper, applier) = (site.ship_by(far, line(8)), site.apply());
    eventually("all before it are begun", || steering.begun().len() >= 3);
    let looks = steering.looks();
    eventually("some rounds have passed", || steering.looks() > looks + 3);
    assert_eq!(steering.begun(), names[..3]);
    steering.release(&names[1]);
    // the end of the baseline is not there: whoever lacks nothing does not wait for it
    eventually("what is before it is applied", || {
        applier.status().applied == site.files[5].position
    });
    eventually("what follows the end is begun", || {
        steering.begun() == names
    });
    steering.release(&names[6]);
    site.wait_until_equal(&shipper, &applier);
    assert_eq!(steering.begun(), names, "nothing is sent twice");
}

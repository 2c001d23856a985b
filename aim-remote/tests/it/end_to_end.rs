//! Both coordinators together.

use std::fs;

use aim_remote::transport::{LocalTransport, SftpTransport};

use crate::site::{Site, eventually};
use crate::sshd::{Fault, Sshd};

#[test]
fn what_is_sealed_is_applied_and_removed() {
    let mut site = Site::new(1);
    site.seal(3);
    let (shipper, applier) = (site.ship(), site.apply());
    site.wait_until_equal(&shipper, &applier);
    site.seal(5);
    site.wait_until_equal(&shipper, &applier);
    let status = shipper.status();
    assert_eq!(status.shipped, site.sealed());
    assert_eq!(status.applied_time, site.files[7].last_time);
    let bytes: usize = site.files.iter().map(|file| site.bytes(file).len()).sum();
    assert_eq!(status.sent_bytes, bytes as u64);
    assert_eq!(applier.status().applied_bytes, bytes as u64);
    assert_eq!((status.waiting_bytes, status.oldest_waiting), (0, None));
}

/// The mirror's directory behind a server, reached in both ways.
fn both_ways(sshd: &Sshd, site: &Site) -> [SftpTransport; 2] {
    let directory = site.directory.path().to_str().unwrap();
    [sshd.target(), sshd.target_by_program()].map(|target| SftpTransport::new(target, directory))
}

#[test]
fn over_ssh() {
    let sshd = Sshd::start();
    let mut site = Site::new(2);
    let applier = site.apply();
    for transport in both_ways(&sshd, &site) {
        site.seal(4);
        let shipper = site.ship_over(transport);
        site.wait_until_equal(&shipper, &applier);
    }
}

#[test]
fn a_host_key_that_changes_stops_shipping_until_it_is_recorded() {
    let sshd = Sshd::start();
    let mut site = Site::new(6);
    let applier = site.apply();
    for transport in both_ways(&sshd, &site) {
        site.seal(2);
        let shipper = site.ship_over(transport);
        site.wait_until_equal(&shipper, &applier);
        sshd.record_host_key("user");
        sshd.kill_sessions();
        site.seal(2);
        eventually("the host key is refused", || {
            let trouble = shipper.status().trouble;
            trouble.is_some_and(|trouble| trouble.message().contains("host key of"))
        });
        assert_ne!(shipper.status().applied, site.sealed());
        sshd.record_host_key("host_ed25519");
        site.wait_until_equal(&shipper, &applier);
    }
}

#[test]
fn each_coordinator_may_be_restarted_at_any_time() {
    let mut site = Site::new(3);
    for round in 0..6 {
        site.seal(3);
        let (shipper, applier) = (site.ship(), site.apply());
        // at a different point of the work each time
        eventually("some of it is done", || {
            applier.status().received.file.get() >= 3 * round + round % 4
        });
        match round % 2 {
            0 => drop((shipper, applier)),
            _ => drop((applier, shipper)),
        }
    }
    let (shipper, applier) = (site.ship(), site.apply());
    site.wait_until_equal(&shipper, &applier);
}

#[test]
fn a_line_that_breaks_is_taken_up_again() {
    let sshd = Sshd::start();
    let mut site = Site::new(4);
    let shipper = site.ship_over(sshd.transport(site.directory.path()));
    let applier = site.apply();
    for _ in 0..3 {
        sshd.break_next(Fault::CutAfter(40_000));
        sshd.kill_sessions();
        site.seal(4);
        sshd.wait_for_fault();
    }
    site.wait_until_equal(&shipper, &applier);
}

#[test]
fn trouble_is_said_with_its_beginning_and_passes() {
    let mut site = Site::new(5);
    site.seal(1);
    let far = site.directory.path().join("not yet mounted");
    let shipper = site.ship_over(LocalTransport::new(&far));
    eventually("it was tried", || {
        let status = shipper.status();
        status.trouble.is_some_and(|trouble| trouble.attempts > 2)
    });
    let first = shipper.status().trouble.unwrap();
    assert!(
        first.message().contains("not yet mounted"),
        "{}",
        first.message()
    );
    fs::create_dir(&far).unwrap();
    fs::create_dir(far.join("incoming")).unwrap();
    eventually("shipping goes on", || shipper.status().trouble.is_none());
    assert_eq!(shipper.status().shipped, site.sealed());
    // nothing goes before the mirror host has said that it has it
    assert!(site.outgoing(&site.files[0]).exists());
    assert_eq!(shipper.status().waiting_files, 1);
    assert!(shipper.status().oldest_waiting.is_some());
}

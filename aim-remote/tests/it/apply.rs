//! What the mirror host takes, and what it sets aside.

use std::fs;

use aim_remote::apply::Applier;
use aim_tests::Series;

use crate::site::{Site, eventually};

/// Waits until `name` was set aside, and checks that it is kept with a reason.
fn wait_until_rejected(site: &Site, applier: &Applier, name: &str, because: &str) {
    let kept = site.rejected(name);
    eventually("it is set aside", || {
        kept.exists() && applier.status().last_rejected.is_some()
    });
    assert!(!site.incoming(name).exists());
    let reason = fs::read_to_string(site.rejected(&format!("{name}.reason"))).unwrap();
    assert!(reason.contains(because), "{reason}");
}

#[test]
fn files_may_arrive_in_any_order_and_twice() {
    let mut site = Site::new(20);
    site.seal(5);
    let applier = site.apply();
    for index in [4, 2, 1, 3] {
        site.deliver(&site.files[index]);
    }
    eventually("the first one is missed", || {
        let status = applier.status();
        status.missing.is_some_and(|file| file.get() == 1) && status.waiting_files == 4
    });
    assert!(applier.status().received.is_start());
    site.deliver(&site.files[0]);
    site.wait_until_applied(&applier);
    assert_eq!(applier.status().missing, None);
    site.deliver(&site.files[3]);
    eventually("the duplicate is removed", || {
        site.mirror().incoming().unwrap().files.is_empty()
    });
    site.wait_until_applied(&applier);
    assert_eq!(applier.status().rejected_files, 0);
}

#[test]
fn what_is_cut_altered_or_foreign_is_set_aside() {
    let mut site = Site::new(21);
    site.seal(2);
    let applier = site.apply();
    let name = site.files[0].name;
    let good = site.bytes(&site.files[0]);
    site.deliver_bytes(name, &good[..good.len() - 1]);
    wait_until_rejected(&site, &applier, &name.sealed(), "its header says");
    let mut altered = good.clone();
    altered[good.len() - 1] ^= 1;
    site.deliver_bytes(name, &altered);
    wait_until_rejected(&site, &applier, &format!("{name}.2"), "checksum");
    // the second one under the name of the first
    site.deliver_bytes(name, &site.bytes(&site.files[1]));
    wait_until_rejected(&site, &applier, &format!("{name}.3"), "inside it is");
    // another volume's
    let mut foreign = Series::new(Site::new(0).series.identity().clone(), 1);
    let file = foreign.next_file(3);
    let bytes = foreign.folder().read_small(&file.name.sealed(), 1 << 30);
    site.deliver_bytes(file.name, &bytes.unwrap());
    wait_until_rejected(&site, &applier, &file.name.sealed(), "volume");
    // of the right volume, but it follows nothing that is here
    let mut other = Series::new(site.series.identity().clone(), 99);
    let mut before = site.files[0].position;
    before.digest[0] ^= 1;
    other.set_position(before);
    let file = other.next_file(3);
    site.deliver(&site.files[0]);
    eventually("the first one is received", || {
        applier.status().received == site.files[0].position
    });
    let bytes = other.folder().read_small(&file.name.sealed(), 1 << 30);
    site.deliver_bytes(file.name, &bytes.unwrap());
    wait_until_rejected(&site, &applier, &file.name.sealed(), "digests differ");
    // no journal file at all; what another program is still writing is left alone
    fs::write(site.incoming(".hidden"), b"x").unwrap();
    fs::write(site.incoming("README"), b"x").unwrap();
    wait_until_rejected(&site, &applier, "README", "name");
    assert!(site.incoming(".hidden").exists());
    // and all that changed nothing
    site.deliver(&site.files[1]);
    site.wait_until_applied(&applier);
    assert_eq!(applier.status().rejected_files, 6);
}

#[test]
fn a_full_device_stops_applying_until_there_is_room() {
    let mut site = Site::new(22);
    site.seal(3);
    site.device.fill(true);
    let (shipper, applier) = (site.ship(), site.apply());
    eventually("it is said", || {
        let trouble = applier.status().apply_trouble;
        trouble.is_some_and(|trouble| trouble.attempts > 1)
    });
    // receiving goes on, and the source may remove what it received
    eventually("all is received", || {
        applier.status().received == site.sealed() && shipper.status().waiting_files == 0
    });
    assert!(applier.status().applied.is_start());
    assert!(!applier.status().is_settled);
    site.device.fill(false);
    site.wait_until_equal(&shipper, &applier);
    eventually("it has passed", || applier.status().apply_trouble.is_none());
}

#[test]
fn a_received_file_that_is_damaged_later_is_asked_for_again() {
    let mut site = Site::new(23);
    site.seal(3);
    site.device.fill(true);
    let applier = site.apply();
    for file in &site.files {
        site.deliver(file);
    }
    eventually("all is received", || {
        applier.status().received == site.sealed()
    });
    // damaged before it was applied
    let name = site.files[0].name.sealed();
    let mut bytes = site.bytes(&site.files[0]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    site.deliver_bytes(site.files[0].name, &bytes);
    wait_until_rejected(&site, &applier, &name, "checksum");
    eventually("the receipt is taken back", || {
        let status = applier.status();
        status.received.is_start() && status.missing.is_some_and(|file| file.get() == 1)
    });
    site.device.fill(false);
    // the source still has it
    let shipper = site.ship();
    site.wait_until_equal(&shipper, &applier);
}

#[test]
fn a_restart_goes_on_where_the_cursor_stands() {
    let mut site = Site::new(24);
    site.seal(2);
    let applier = site.apply();
    site.deliver(&site.files[0]);
    eventually("the first one is applied", || {
        applier.status().applied == site.files[0].position
    });
    applier.stop();
    site.deliver(&site.files[1]);
    // applied, and not removed before the stop
    site.deliver(&site.files[0]);
    let applier = site.apply();
    site.wait_until_applied(&applier);
    eventually("both are removed", || {
        site.mirror().incoming().unwrap().files.is_empty()
    });
}

#[test]
fn a_device_that_does_not_fit_is_refused() {
    let site = Site::new(25);
    let small = aim_core::device::MemDevice::new(aim_core::units::ByteLen(1 << 19), 512);
    let refused = Applier::start(
        site.mirror(),
        vec![std::sync::Arc::new(small)],
        aim_remote::apply::ApplyOptions::default(),
    );
    assert!(refused.unwrap_err().to_string().contains("bytes"));
}

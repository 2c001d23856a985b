//! What the mirror host takes, and what it sets aside.

use std::fs;
use std::time::Duration;

use aim_core::device::BlockDevice;
use aim_core::format::Kind;
use aim_core::units::{ByteLen, ByteOffset};
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
    wait_until_rejected(&site, &applier, &file.name.sealed(), "with digest");
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

/// A mirror at the first file, which has received the first two of three files of a group.
fn in_the_middle_of_a_group(seed: u64) -> (Site, Applier) {
    let mut site = Site::new(seed);
    site.seal(1);
    site.seal_in_group(2);
    let applier = site.apply();
    site.files.iter().for_each(|file| site.deliver(file));
    eventually("all but the end is received", || {
        applier.status().received == site.sealed() && applier.status().group_files == 2
    });
    (site, applier)
}

#[test]
fn a_mirror_stays_before_a_group_until_all_of_it_is_received() {
    let (mut site, applier) = in_the_middle_of_a_group(26);
    let status = applier.status();
    let begin = site.files[1].position.open_group;
    assert_eq!((status.open_group, status.group_files), (Some(begin), 2));
    assert_eq!(status.applied, site.files[0].position);
    assert!(status.is_settled && status.apply_trouble.is_none());
    assert!(site.device.content() == site.files[0].devices[0]);
    // the source need not keep it
    let shipper = site.ship();
    eventually("the source has removed it", || {
        site.source().outgoing().unwrap().files.is_empty()
    });
    // nor does it take a restart to go on
    applier.stop();
    let applier = site.apply();
    eventually("it knows where it was", || {
        applier.status().group_files == 2
    });
    assert!(site.device.content() == site.files[0].devices[0]);
    site.seal(1);
    site.wait_until_equal(&shipper, &applier);
    let status = applier.status();
    assert_eq!((status.open_group, status.group_files), (None, 0));
    assert_eq!(status.differences.mismatches(), 0);
}

#[test]
fn a_damaged_file_of_a_group_is_found_before_the_mirror_is_touched() {
    let (mut site, applier) = in_the_middle_of_a_group(27);
    let damaged = site.files[2].name;
    let mut bytes = site.bytes(&site.files[2]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    site.deliver_bytes(damaged, &bytes);
    site.seal(1);
    site.deliver(&site.files[3]);
    wait_until_rejected(&site, &applier, &damaged.sealed(), "checksum");
    eventually("what came before it stays received", || {
        let status = applier.status();
        status.received == site.files[1].position && status.missing == Some(damaged.number)
    });
    let status = applier.status();
    assert_eq!(status.applied, site.files[0].position);
    assert!(status.is_settled, "the mirror was touched");
    assert!(site.device.content() == site.files[0].devices[0]);
    // the source still has it
    let shipper = site.ship();
    site.wait_until_equal(&shipper, &applier);
}

#[test]
fn a_group_whose_file_is_gone_is_not_begun() {
    let (mut site, applier) = in_the_middle_of_a_group(28);
    let gone = site.files[1].name;
    fs::remove_file(site.incoming(&gone.sealed())).unwrap();
    site.seal(1);
    site.deliver(&site.files[3]);
    eventually("it is missed", || {
        let status = applier.status();
        status.received == site.files[0].position && status.missing == Some(gone.number)
    });
    assert!(applier.status().is_settled);
    assert!(site.device.content() == site.files[0].devices[0]);
    site.deliver(&site.files[1]);
    site.wait_until_applied(&applier);
}

#[test]
fn what_differs_is_told_until_it_is_mended_and_over_a_restart() {
    let mut site = Site::new(29);
    let verify = Kind::Verify { digest: 0 };
    let first = site.series.next_file_of(&[(Kind::Write, 0, 8192)]);
    site.add(first);
    let applier = site.apply();
    site.deliver(&site.files[0]);
    site.wait_until_applied(&applier);
    assert!(applier.status().differences.is_empty());
    site.device.write(ByteOffset(1024), &[0xee; 512]).unwrap();
    let second = site
        .series
        .next_file_of(&[(verify, 0, 4096), (verify, 4096, 4096)]);
    site.add(second);
    site.deliver(&site.files[1]);
    eventually("it is told", || {
        applier.status().differences.bytes() == ByteLen(4096)
    });
    applier.stop();
    let applier = site.apply();
    assert_eq!(applier.status().differences.bytes(), ByteLen(4096));
    let third = site
        .series
        .next_file_of(&[(Kind::Write, 512, 1024), (verify, 0, 8192)]);
    site.add(third);
    site.deliver(&site.files[2]);
    site.wait_until_applied(&applier);
    eventually("it is mended", || applier.status().differences.is_empty());
}

#[test]
fn a_mover_may_write_under_the_final_name() {
    let mut site = Site::new(30);
    site.seal(2);
    // longer than any test
    let applier = site.apply_settling(Duration::from_secs(3600));
    let name = site.files[0].name.sealed();
    let bytes = site.bytes(&site.files[0]);
    for part in [1000, 5000, bytes.len() - 1] {
        fs::write(site.incoming(&name), &bytes[..part]).unwrap();
        eventually("it is seen that it is not whole", || {
            let unfinished = applier.status().unfinished;
            unfinished.is_some_and(|file| file.name == name)
        });
    }
    // of the right length, and with a hole in it
    let mut holed = bytes.clone();
    holed[bytes.len() - 512..].fill(0);
    fs::write(site.incoming(&name), &holed).unwrap();
    eventually("that is seen too", || {
        let unfinished = applier.status().unfinished;
        unfinished.is_some_and(|file| file.reason.contains("checksum"))
    });
    fs::write(site.incoming(&name), &bytes).unwrap();
    // and a name of its own, which it has not changed yet
    let last = site.files[1].name.sealed();
    fs::write(site.incoming(&format!("{last}.copying")), b"x").unwrap();
    let copied = site.bytes(&site.files[1]);
    fs::write(site.incoming(&format!("{last}.copying")), copied).unwrap();
    eventually("it is seen", || applier.status().unfinished.is_some());
    fs::rename(
        site.incoming(&format!("{last}.copying")),
        site.incoming(&last),
    )
    .unwrap();
    site.wait_until_applied(&applier);
    assert_eq!(applier.status().rejected_files, 0);
    eventually("nothing is left to say", || {
        applier.status().unfinished.is_none()
    });
}

/// Seals files: some of anything, a baseline, which is given up and begins anew, and one more.
pub(crate) fn seal_with_baseline(site: &mut Site, before: usize) {
    site.seal(before);
    let size = 1 << 20;
    let begin = |site: &mut Site| {
        let file = site
            .series
            .next_file_of(&[(Kind::BaselineBegin, 0, 0), (Kind::Write, 0, size / 2)]);
        site.add(file);
    };
    begin(site);
    let again = site.series.position().lsn.next();
    begin(site);
    site.seal(1);
    let file = site.series.next_file_of(&[
        (Kind::Write, size / 2, size / 2),
        (Kind::BaselineEnd { begin: again }, 0, 0),
    ]);
    site.add(file);
    site.seal(1);
}

#[test]
fn a_mirror_that_lacks_files_goes_on_at_a_baseline_and_stays_until_its_end() {
    let mut site = Site::new(27);
    // files 1 to 4; 5 and 6 begin baselines, 8 ends the second one, 9
    seal_with_baseline(&mut site, 4);
    let content = vec![7; 1 << 20];
    site.device.write(ByteOffset(0), &content).unwrap();
    let applier = site.apply();
    for index in [8, 6, 4, 5] {
        site.deliver(&site.files[index]);
    }
    eventually("it goes on at the baseline", || {
        applier.status().received == site.files[6].position
    });
    let begin = site.files[3].position.lsn.next();
    eventually("it waits for the end", || {
        applier.status().open_group == Some(begin)
    });
    assert!(applier.status().applied.is_start());
    let mut held = vec![0; 1 << 20];
    site.device.read(ByteOffset(0), &mut held).unwrap();
    assert!(
        held == content,
        "nothing is touched before its end is there"
    );
    site.deliver(&site.files[7]);
    site.wait_until_applied(&applier);
    eventually("it waits for nothing, and nothing is left", || {
        applier.status().open_group.is_none() && site.mirror().incoming().unwrap().files.is_empty()
    });
}

#[test]
fn the_next_file_goes_before_a_baseline() {
    let mut site = Site::new(28);
    seal_with_baseline(&mut site, 3);
    let applier = site.apply();
    (0..3).for_each(|index| site.deliver(&site.files[index]));
    eventually("they are applied", || {
        applier.status().applied == site.files[2].position
    });
    // whoever lacks nothing waits for nothing
    for index in 3..8 {
        site.deliver(&site.files[index]);
        eventually("it is applied", || {
            applier.status().applied == site.files[index].position
        });
    }
    site.wait_until_applied(&applier);
}

#[test]
fn files_of_a_group_without_an_end_are_left_behind_for_a_baseline() {
    let mut site = Site::new(29);
    site.seal(1);
    site.seal_in_group(2);
    let lost = site.series.next_file(20);
    site.add(lost);
    seal_with_baseline(&mut site, 1);
    let applier = site.apply();
    for index in [0, 1, 2, 5, 6, 7, 8] {
        site.deliver(&site.files[index]);
    }
    eventually("it goes on behind the group", || {
        applier.status().received == site.files[8].position
    });
    site.deliver(&site.files[9]);
    site.wait_until_applied(&applier);
}

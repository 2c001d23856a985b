//! Files that are packed on their way.

use std::fs;

use aim_core::journal::FileName;
use aim_core::packed::{Level, Packer};
use aim_remote::ship::LineOptions;
use aim_remote::transport::LocalTransport;

use crate::apply::seal_with_baseline;
use crate::site::{Site, eventually};
use crate::sshd::{Fault, Sshd};
use crate::steered::Steering;

fn packing() -> LineOptions {
    LineOptions {
        compression: Some(Level::MIN),
        ..LineOptions::default()
    }
}

/// The packed bytes of a file, as the shipper makes them.
fn packed(site: &Site, index: usize) -> Vec<u8> {
    let folder = site.series.folder();
    let name = site.files[index].name.sealed();
    let file = folder.open(&name, false).unwrap();
    let mut packer = Packer::new(file, Level::MIN).unwrap();
    let mut bytes = Vec::new();
    while let Some(more) = packer.next_bytes().unwrap() {
        bytes.extend(more);
    }
    bytes
}

/// Lays a file into `incoming/` whole: these mirrors take one that is wrong at two looks for wrong.
fn lay(site: &Site, text: &str, bytes: &[u8]) {
    let hidden = site.incoming(&format!(".{text}"));
    fs::write(&hidden, bytes).unwrap();
    fs::rename(hidden, site.incoming(text)).unwrap();
}

fn name(site: &Site, index: usize) -> FileName {
    site.files[index].name
}

#[test]
fn they_are_unpacked_and_applied() {
    let mut site = Site::new(50);
    site.seal(5);
    let raw: usize = site.files.iter().map(|file| site.bytes(file).len()).sum();
    let far = LocalTransport::new(site.directory.path());
    let (shipper, applier) = (site.ship_by(far, packing()), site.apply());
    site.wait_until_equal(&shipper, &applier);
    let status = shipper.status();
    let sent: usize = (0..5).map(|index| packed(&site, index).len()).sum();
    assert_eq!(status.sent_bytes, sent as u64);
    assert_eq!(status.delivered_bytes, raw as u64);
    assert!(site.mirror().incoming_folder().list().unwrap().is_empty());
    assert_eq!(applier.status().rejected_files, 0);
}

#[test]
fn over_a_line_that_breaks_they_are_gone_on_with() {
    let sshd = Sshd::start();
    let mut site = Site::new(51);
    site.seal(4);
    sshd.break_next(Fault::CutAfter(60_000));
    let far = sshd.transport(site.directory.path());
    let (shipper, applier) = (site.ship_by(far, packing()), site.apply());
    sshd.wait_for_fault();
    site.wait_until_equal(&shipper, &applier);
    assert_eq!(applier.status().rejected_files, 0);
}

/// A file is taken in whichever form it comes, and by whoever brings it.
#[test]
fn packed_and_other_files_may_be_mixed() {
    let mut site = Site::new(52);
    site.seal(5);
    let applier = site.apply();
    for index in [4, 2] {
        lay(&site, &name(&site, index).packed(), &packed(&site, index));
    }
    eventually("they are seen", || {
        let status = applier.status();
        status.waiting_files == 2 && status.missing.is_some()
    });
    site.deliver(&site.files[3]);
    // the second one in both forms
    lay(&site, &name(&site, 1).packed(), &packed(&site, 1));
    site.deliver(&site.files[1]);
    site.deliver(&site.files[0]);
    site.wait_until_applied(&applier);
    eventually("nothing is left", || {
        site.mirror().incoming_folder().list().unwrap().is_empty()
    });
    assert_eq!(applier.status().rejected_files, 0);
}

#[test]
fn what_is_cut_altered_or_foreign_is_set_aside() {
    let mut site = Site::new(53);
    site.seal(2);
    let applier = site.apply();
    let good = packed(&site, 0);
    let mut altered = good.clone();
    altered[good.len() / 2] ^= 1;
    let text = name(&site, 0).packed();
    let wrong = [
        (&good[..good.len() - 1], "reach to"),
        (&altered, "checksum"),
        (&packed(&site, 1), "inside it is"),
        (b"nonsense", "reach to"),
    ];
    for (index, (bytes, because)) in wrong.into_iter().enumerate() {
        let kept = match index {
            0 => text.clone(),
            more => format!("{text}.{}", more + 1),
        };
        lay(&site, &text, bytes);
        eventually("it is set aside", || site.rejected(&kept).exists());
        let reason = fs::read_to_string(site.rejected(&format!("{kept}.reason"))).unwrap();
        assert!(reason.contains(because), "{reason}");
        let left = site.mirror().incoming_folder().list().unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
    for index in [0, 1] {
        lay(&site, &name(&site, index).packed(), &packed(&site, index));
    }
    site.wait_until_applied(&applier);
}

/// The source does not take the length of a packed file for its content.
#[test]
fn what_lies_there_is_compared_and_not_believed() {
    let mut site = Site::new(54);
    site.seal(3);
    let mut altered = packed(&site, 0);
    altered[100] ^= 1;
    fs::write(site.incoming(&name(&site, 0).packed()), &altered).unwrap();
    let good = packed(&site, 1);
    fs::write(site.incoming(&name(&site, 1).packed()), &good).unwrap();
    let third = packed(&site, 2);
    let part = format!("{}.part", name(&site, 2).packed());
    fs::write(site.incoming(&part), &third[..third.len() / 2]).unwrap();
    let shipper = site.ship_by(LocalTransport::new(site.directory.path()), packing());
    eventually("all is shipped", || {
        shipper.status().shipped == site.sealed()
    });
    for index in 0..3 {
        let there = fs::read(site.incoming(&name(&site, index).packed())).unwrap();
        assert!(there == packed(&site, index), "file {index}");
    }
    let sent = packed(&site, 0).len() + third.len() - third.len() / 2;
    assert_eq!(shipper.status().sent_bytes, sent as u64);
}

/// A mirror host that can't take packed files gets others.
#[test]
fn what_was_set_aside_packed_comes_as_it_is() {
    let mut site = Site::new(55);
    site.seal(2);
    let steering = Steering::new();
    let far = steering.over(LocalTransport::new(site.directory.path()));
    let shipper = site.ship_by(far, packing());
    eventually("all is shipped", || {
        shipper.status().shipped == site.sealed()
    });
    let text = name(&site, 0).packed();
    site.mirror().reject(&text, "what is this?").unwrap();
    let plain = site.incoming(&name(&site, 0).sealed());
    eventually("it is there again", || plain.exists());
    let set_aside = shipper.status().last_set_aside.unwrap();
    assert_eq!(set_aside.reason.unwrap(), "what is this?");
    let applier = site.apply();
    site.wait_until_equal(&shipper, &applier);
}

/// Only the packed file shows that it begins with a baseline.
#[test]
fn a_mirror_that_lacks_files_goes_on_at_a_packed_baseline() {
    let mut site = Site::new(57);
    // files 1 to 4; 5 and 6 begin baselines, 8 ends the second one, 9
    seal_with_baseline(&mut site, 4);
    let applier = site.apply();
    let deliver = |index: usize| {
        let part = site.incoming(&format!(".{index}"));
        fs::write(&part, packed(&site, index)).unwrap();
        fs::rename(part, site.incoming(&name(&site, index).packed())).unwrap();
    };
    deliver(0);
    eventually("the first one is applied", || {
        applier.status().applied == site.files[0].position
    });
    // the third one is of no use, and no baseline
    for index in [8, 6, 2, 5] {
        deliver(index);
    }
    eventually("it goes on at the baseline", || {
        applier.status().received == site.files[6].position
    });
    assert_eq!(applier.status().applied, site.files[0].position);
    deliver(7);
    site.wait_until_applied(&applier);
    eventually("nothing is left", || {
        site.mirror().incoming_folder().list().unwrap().is_empty()
    });
    assert_eq!(applier.status().rejected_files, 0);
}

//! Without these, no other test means anything.

use std::path::Path;

use crate::machine::{Disks, shell, variable};

#[test]
fn ublk_the_disks_and_the_program_are_there() {
    shell("modprobe ublk_drv");
    assert!(Path::new("/dev/ublk-control").exists());
    let disks = Disks::of_this_machine();
    let size = |disk: &Path| shell(&format!("blockdev --getsize64 {}", disk.display()));
    assert_eq!(size(&disks.source), size(&disks.mirror));
    assert!(disks.journal.exists());
    let help = shell(&format!("{} --help", variable("AIM_TEST_PROGRAM")));
    assert!(help.contains("aim"), "{help}");
}

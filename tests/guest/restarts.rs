//! Either coordinator ends in the middle, well or badly, and comes back.

use std::process::{Child, Command};

use crate::machine::shell;
use crate::pair::{MOUNT, Pair};

/// Writes that go on while the test does something.
fn writing(device: &str, mebibytes: u32) -> Child {
    let script = format!(
        "for n in $(seq 0 {}); do
             dd if=/dev/urandom of={device} bs=64k count=16 seek=$((n * 16)) oflag=direct,dsync \
                 status=none || exit 1
         done",
        mebibytes - 1,
    );
    Command::new("bash")
        .args(["-c", &script])
        .spawn()
        .expect("bash starts")
}

#[test]
fn the_mirror_is_killed_while_files_arrive() {
    let mut pair = Pair::new();
    let mut writer = writing(&pair.device(), 12);
    for _ in 0..3 {
        // something has been applied since the start: it is in the middle
        pair.source().settle();
        pair.kill_mirror();
        pair.start_mirror();
    }
    assert!(writer.wait().expect("it ends").success());
    pair.end();
}

#[test]
fn the_source_stops_and_starts_between_mounts() {
    let mut pair = Pair::new();
    shell(&format!("mkfs.ext4 -q {}", pair.device()));
    for round in 0..3 {
        let device = pair.device();
        shell(&format!(
            "mount {device} {MOUNT}; head -c 1M /dev/urandom > {MOUNT}/{round}; umount {MOUNT}"
        ));
        pair.stop_source();
        pair.start_source();
    }
    let disks = pair.end();
    shell(&format!("e2fsck -f -n {}", disks.mirror.display()));
}

#[test]
fn the_source_is_killed_with_writes_that_have_not_left_it() {
    let mut pair = Pair::new();
    for round in 0..3 {
        let device = pair.device();
        // acknowledged, not flushed: only the staging ring and the page cache have it
        shell(&format!(
            "dd if=/dev/urandom of={device} bs=64k count=32 seek={} oflag=direct status=none",
            round * 32
        ));
        pair.kill_source();
        pair.start_source();
    }
    pair.end();
}

#[test]
fn writes_go_on_while_there_is_no_mirror() {
    let mut pair = Pair::new();
    pair.kill_mirror();
    let mut writer = writing(&pair.device(), 6);
    assert!(writer.wait().expect("it ends").success());
    pair.start_mirror();
    pair.end();
}

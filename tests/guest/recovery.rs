//! The daemon ends and another one comes, while the device is in use: its users see a pause.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aim_ublk::kernel;

use crate::machine::{shell, variable};
use crate::pair::{Pair, source_config};
use crate::work::Work;

/// Where a test installs a program of its own.
const PROGRAM: &str = "/run/aim-program/aim";

/// Sectors between two ends: about a megabyte and a half.
const A_WHILE: u64 = 3072;

/// Puts another copy of the program in the place of the one that is there.
fn install() -> u64 {
    let program = variable("AIM_TEST_PROGRAM");
    shell(&format!(
        "mkdir -p /run/aim-program; cp {program} {PROGRAM}.new; mv {PROGRAM}.new {PROGRAM}"
    ));
    Path::new(PROGRAM).metadata().unwrap().ino()
}

/// A pair whose source runs a program of its own, which can be replaced.
fn pair_of_its_own() -> Pair {
    install();
    let mut pair = Pair::new();
    pair.stop_source();
    pair.set_program(Path::new(PROGRAM));
    pair.start_source();
    pair
}

/// The kinds of work that must not notice.
fn works() -> [fn(&str) -> Work; 2] {
    [Work::on_device, Work::on_files]
}

#[test]
fn a_kill_is_a_pause() {
    for begin in works() {
        let mut pair = Pair::new();
        let device = pair.device();
        let work = begin(&device);
        for _ in 0..3 {
            work.goes_on(A_WHILE);
            pair.kill_source();
            pair.start_source();
            assert_eq!(pair.device(), device);
        }
        work.goes_on(A_WHILE);
        work.end();
        let disks = pair.end();
        check_files(begin, &disks.mirror);
    }
}

#[test]
fn a_kill_is_a_pause_where_threads_share_queues_and_reads_are_not_copied() {
    let lines = "threads_per_queue = 2\nread_path = \"zero-copy\"";
    let mut pair = Pair::with_lines(lines);
    let work = Work::on_files(&pair.device());
    for _ in 0..2 {
        work.goes_on(A_WHILE);
        pair.kill_source();
        pair.start_source();
    }
    work.goes_on(A_WHILE);
    work.end();
    let io = pair.source().status("io");
    let features = kernel::features().unwrap();
    let read_path = match features.zero_copy_reads() {
        true => "zero-copy",
        false => "copy",
    };
    let threads = if features.threads_per_queue() { 2 } else { 1 };
    assert_eq!(io["read_path"], read_path);
    assert_eq!(io["threads_per_queue"], threads);
    for part in ["request", "disk"] {
        let writes = &io[part]["write"];
        assert!(writes["count"].as_u64().unwrap() > 0, "{io}");
        assert!(writes["p99_seconds"].as_f64() >= writes["median_seconds"].as_f64());
    }
    assert!(io["journal"]["count"].as_u64().unwrap() > 0, "{io}");
    let disks = pair.end();
    check_files(Work::on_files, &disks.mirror);
}

#[test]
fn an_upgrade_is_a_pause() {
    for begin in works() {
        let pair = pair_of_its_own();
        let device = pair.device();
        let pid = pair.source().pid();
        let work = begin(&device);
        for _ in 0..2 {
            work.goes_on(A_WHILE);
            let installed = install();
            let said = pair.source().upgrade();
            assert_eq!(said["pid"], pid);
            assert_eq!(said["volumes"][0]["device"], "/dev/aim/data");
            assert_eq!(executed(pid), installed);
            assert_eq!(pair.device(), device);
        }
        work.goes_on(A_WHILE);
        work.end();
        let disks = pair.end();
        check_files(begin, &disks.mirror);
    }
}

#[test]
fn a_device_that_is_left_is_a_pause() {
    let mut pair = Pair::new();
    let work = Work::on_files(&pair.device());
    for _ in 0..2 {
        work.goes_on(A_WHILE);
        pair.leave_source();
        pair.start_source();
    }
    work.goes_on(A_WHILE);
    work.end();
    pair.end();
}

#[test]
fn kills_in_a_row_are_a_pause() {
    // A driver that keeps what it knows of a server that ended loses the device if the next one
    // dies before it serves. Such a moment must not be aimed at.
    const QUIESCE: u64 = 1 << 12;
    let mut pair = Pair::new();
    let aim_at_it = kernel::features().unwrap().bits() & QUIESCE != 0;
    let work = Work::on_device(&pair.device());
    for _ in 0..2 {
        work.goes_on(A_WHILE);
        pair.kill_source();
        // before it has found the device
        pair.spawn_source();
        pair.kill_source();
        if aim_at_it {
            pair.spawn_source();
            pair.source().until("taking over the device");
            pair.kill_source();
        }
        // as soon as it serves
        pair.start_source();
        pair.kill_source();
        pair.start_source();
    }
    work.goes_on(A_WHILE);
    work.end();
    pair.end();
}

#[test]
fn a_volume_that_is_lost_or_broken_is_not_upgraded() {
    let pair = pair_of_its_own();
    let pid = pair.source().pid();
    let work = Work::on_device(&pair.device());
    work.goes_on(A_WHILE);
    let before = executed(pid);
    install();
    let upgrade = pair.source().command("upgrade");
    let refused = |words: &str| {
        let said = shell(&format!("{upgrade} 2>&1 && exit 1 || true"));
        assert!(said.contains(words), "{said}");
    };
    let config = fs::read_to_string(source_config()).unwrap();
    let renamed = config.replace("[volume.data]", "[volume.other]");
    fs::write(source_config(), renamed).unwrap();
    refused("no volume `data` any more");
    fs::write(source_config(), config).unwrap();
    shell(&format!(
        "printf '#!/bin/sh\\nexit 9\\n' > {PROGRAM}.new; chmod 755 {PROGRAM}.new; mv {PROGRAM}.new {PROGRAM}"
    ));
    refused("exit status: 9");
    assert_eq!(executed(pid), before);
    work.goes_on(A_WHILE);
    work.end();
    pair.end();
}

#[test]
fn a_device_that_is_given_up_is_gone() {
    let mut pair = Pair::new();
    let device = pair.device();
    let abandon = format!("{} abandon data", variable("AIM_TEST_PROGRAM"));
    shell(&format!("{abandon} 2>/dev/null && exit 1 || [ $? = 11 ]"));
    pair.kill_source();
    assert!(Path::new(&device).exists());
    shell(&abandon);
    assert!(!Path::new(&device).exists());
    shell(&format!("{abandon} 2>/dev/null && exit 1 || [ $? = 10 ]"));
    pair.start_source();
    pair.end();
}

/// The file that the process executes.
fn executed(pid: u32) -> u64 {
    fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

/// The mirror of a disk with files has no fault in them.
fn check_files(begin: fn(&str) -> Work, mirror: &Path) {
    if std::ptr::fn_addr_eq(begin, Work::on_files as fn(&str) -> Work) {
        shell(&format!("e2fsck -f -n {}", mirror.display()));
    }
}

//! The daemon does not wait for itself: not for memory, and not for what is mounted from its own
//! device.

use std::fs;
use std::path::Path;

use crate::machine::shell;
use crate::pair::{MOUNT, Pair};

/// The flags of a task that PR_SET_IO_FLUSHER sets (linux/sched.h): PF_MEMALLOC_NOIO and
/// PF_LOCAL_THROTTLE.
const IO_FLUSHER: u64 = 0x0008_0000 | 0x0010_0000;

/// Looks at the process from outside.
fn check_isolation(pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let locked = locked.unwrap().trim().trim_end_matches(" kB");
    assert!(locked.parse::<u64>().unwrap() > 32 << 10, "{status}");

    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).unwrap();
    assert_ne!(namespace(&pid.to_string()), namespace("self"));

    let mut tasks = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        // behind the name, which may have blanks in it: state ppid pgrp session tty tpgid flags
        let (name, fields) = stat.rsplit_once(") ").unwrap();
        let flags: u64 = fields.split(' ').nth(6).unwrap().parse().unwrap();
        assert_eq!(flags & IO_FLUSHER, IO_FLUSHER, "{name}");
        tasks += 1;
    }
    assert!(tasks > 4, "{tasks}");
}

/// What is mounted where the process sees it.
fn sees(pid: u32, point: &str) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(point))
}

#[test]
fn it_is_isolated_from_the_start_and_after_an_upgrade() {
    let pair = Pair::new();
    let device = pair.device();
    check_isolation(pair.source().pid());
    // as Docker has it: a file system on the device, and an overlay whose layers are on that
    shell(&format!(
        "modprobe overlay || true
         mkfs.ext4 -q {device}; mount {device} {MOUNT}
         mkdir -p {MOUNT}/lower {MOUNT}/upper {MOUNT}/work /run/aim-merged
         mount -t overlay -o lowerdir={MOUNT}/lower,upperdir={MOUNT}/upper,workdir={MOUNT}/work \
             overlay /run/aim-merged"
    ));
    let files = |pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = files(pair.source().pid());
    for _ in 0..2 {
        pair.source().upgrade();
        check_isolation(pair.source().pid());
        for point in [MOUNT, "/run/aim-merged"] {
            assert!(!sees(pair.source().pid(), point), "{point}");
        }
        assert!(sees(pair.source().pid(), "/proc"));
    }
    // no file of an old program is left open; there may be one less before the line is up
    assert!(
        files(pair.source().pid()) <= before,
        "{before} files before"
    );
    shell(&format!("umount /run/aim-merged {MOUNT}"));
    assert!(Path::new(&device).exists());
    // the device is not in use any more: else this would not end
    pair.end();
}

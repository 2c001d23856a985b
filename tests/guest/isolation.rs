//! The daemon does not wait for itself: not for memory, and not for what is mounted from its own
//! device.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::machine::shell;
use crate::pair::{MOUNT, Pair};

/// What is still open then was left open.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// A journal file, or where it is put: they come and go.
fn is_of_journal(file: &str) -> bool {
    let ends = [".open", ".aim", ".part", "/incoming"];
    ends.iter().any(|end| file.ends_with(end))
}

/// What a daemon has open besides journal files, once its line to the mirror is up.
fn open_files(daemon: &Daemon) -> Vec<String> {
    daemon.settle();
    let folder = format!("/proc/{}/fd", daemon.pid());
    let links = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()));
    let mut files: Vec<String> = links
        .filter_map(|link| Some(link.ok()?.display().to_string()))
        .filter(|file| !is_of_journal(file))
        .collect();
    files.sort();
    files
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
    let before = open_files(pair.source());
    for _ in 0..2 {
        pair.source().upgrade();
        check_isolation(pair.source().pid());
        for point in [MOUNT, "/run/aim-merged"] {
            assert!(!sees(pair.source().pid(), point), "{point}");
        }
        assert!(sees(pair.source().pid(), "/proc"));
    }
    // No file of an old program is left open. Connections of those who asked end a moment later.
    let start = Instant::now();
    loop {
        let after = open_files(pair.source());
        if after.len() <= before.len() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{before:#?} {after:#?}");
        thread::sleep(Duration::from_millis(100));
    }
    shell(&format!("umount /run/aim-merged {MOUNT}"));
    assert!(Path::new(&device).exists());
    // the device is not in use any more: else this would not end
    pair.end();
}

/// Pages that the machine has looked at in order to free some.
fn scanned_pages() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap();
    let scanned = ["pgscan_kswapd ", "pgscan_direct "].map(|name| {
        let value = counters.lines().find_map(|line| line.strip_prefix(name));
        value.expect(name).parse::<u64>().unwrap()
    });
    scanned.iter().sum()
}

#[test]
fn memory_full_of_dirty_pages_of_the_device_is_written_back() {
    let pair = Pair::new();
    let device = pair.device();
    let pid = pair.source().pid();
    // As a service has it: where nothing else helps, somebody else is killed.
    fs::write(format!("/proc/{pid}/oom_score_adj"), "-1000").unwrap();
    shell(&format!(
        "mkfs.ext4 -q {device}; mount {device} {MOUNT}
         # all but this much is taken, and half of the rest may be dirty
         mkdir -p /run/ballast; mount -t tmpfs -o size=100% none /run/ballast
         free=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
         fallocate -l $(( free - 160 * 1024 ))KiB /run/ballast/taken
         echo 50 > /proc/sys/vm/dirty_ratio; echo 40 > /proc/sys/vm/dirty_background_ratio"
    ));
    let before = scanned_pages();
    shell(&format!(
        "dd if=/dev/zero of={MOUNT}/large bs=1M count=240 conv=fsync status=none"
    ));
    let after = scanned_pages();
    shell(&format!(
        "echo 20 > /proc/sys/vm/dirty_ratio; echo 10 > /proc/sys/vm/dirty_background_ratio
         umount /run/ballast; umount {MOUNT}"
    ));
    assert!(after > before, "memory was never short");
    pair.end();
}

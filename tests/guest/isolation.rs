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

/// Pages that the machine has looked at in order to free some.
fn scanned_pages() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap();
    let scanned = ["pgscan_kswapd ", "pgscan_direct "].map(|name| {
        let value = counters.lines().find_map(|line| line.strip_prefix(name));
        value.expect(name).parse::<u64>().unwrap()
    });
    scanned.iter().sum()
}

/// One writer has little memory of its own, the other shares what the daemon has left.
#[test]
fn memory_full_of_dirty_pages_of_the_device_is_written_back() {
    let pair = Pair::new();
    let device = pair.device();
    let pid = pair.source().pid();
    // As a service has it: where nothing else helps, somebody else is killed.
    fs::write(format!("/proc/{pid}/oom_score_adj"), "-1000").unwrap();
    shell(&format!(
        "mkfs.ext4 -q {device}; mount {device} {MOUNT}
         mkdir -p /run/cgroup
         mountpoint -q /run/cgroup || mount -t cgroup2 none /run/cgroup
         # with both, a writer at its limit waits for its own dirty pages
         echo '+memory +io' > /run/cgroup/cgroup.subtree_control
         mkdir -p /run/cgroup/tight
         echo 48M > /run/cgroup/tight/memory.max
         # half of either memory may be dirty
         echo 50 > /proc/sys/vm/dirty_ratio; echo 40 > /proc/sys/vm/dirty_background_ratio
         mkdir -p /run/ballast; mount -t tmpfs -o size=100% none /run/ballast
         free=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
         head -c $(( (free - 160 * 1024) * 1024 )) /dev/zero > /run/ballast/taken"
    ));
    let before = scanned_pages();
    let writer = |name: &str| {
        format!("dd if=/dev/zero of={MOUNT}/{name} bs=1M count=120 conv=fsync status=none")
    };
    shell(&format!(
        "(echo $BASHPID > /run/cgroup/tight/cgroup.procs; exec {}) &
         {} &
         wait -n; wait -n",
        writer("tight"),
        writer("wide"),
    ));
    let limits = fs::read_to_string("/run/cgroup/tight/memory.events").unwrap();
    let after = scanned_pages();
    shell(&format!(
        "echo 20 > /proc/sys/vm/dirty_ratio; echo 10 > /proc/sys/vm/dirty_background_ratio
         umount /run/ballast; rmdir /run/cgroup/tight; umount {MOUNT}"
    ));
    // it was tight, for both
    let met = limits.lines().find_map(|line| line.strip_prefix("max "));
    assert_ne!(met.unwrap(), "0", "{limits}");
    assert!(after > before, "memory was never short");
    pair.end();
}

//! File systems and partition tables are just requests: all of them reach the mirror.

use super::bench::{Bench, EVEN, MIB};
use crate::machine::shell;

fn file_system(megabytes: u64, make: &str, check: &str, kernel_module: &str) {
    shell(&format!("modprobe {kernel_module}"));
    let bench = Bench::new(megabytes * MIB, EVEN);
    let device = bench.path();
    let mount = tempfile::tempdir_in("/run").unwrap();
    let point = mount.path().display();
    shell(&format!("{make} {device} && mount {device} {point}"));
    shell(&format!(
        "cd {point} && cp -r /etc/init.d /etc/ssl . && dd if=/dev/urandom of=random bs=1M count=8 conv=fsync \
         && rm -r ssl && fallocate -l 4M holes && fallocate -p -o 1M -l 1M holes \
         && sha256sum random >sum && sync"
    ));
    shell(&format!("umount {point} && {check} {device}"));
    // what was read back came from the disk, not from the page cache
    shell(&format!(
        "mount {device} {point} && cd {point} && sha256sum -c sum && cd / && umount {point}"
    ));
    bench.finish();
}

#[test]
fn ext4_is_captured() {
    file_system(64, "mkfs.ext4 -q -F", "e2fsck -fn", "ext4");
}

#[test]
fn xfs_is_captured() {
    file_system(300, "mkfs.xfs -q -f", "xfs_repair -n", "xfs");
}

#[test]
fn btrfs_is_captured() {
    file_system(128, "mkfs.btrfs -q -f", "btrfs check", "btrfs");
}

#[test]
fn partitions_appear_and_are_captured() {
    shell("modprobe ext4");
    let bench = Bench::new(64 * MIB, EVEN);
    let node = bench.device.node().display().to_string();
    shell(&format!(
        "printf 'label: gpt\\n,24M\\n,,\\n' | sfdisk -q {node} && mkfs.ext4 -q -F {node}p2"
    ));
    shell(&format!("test -b {node}p1 && e2fsck -fn {node}p2"));
    bench.finish();
}

//! File systems made, mounted, used and unmounted on the device.

use crate::machine::shell;
use crate::pair::{MOUNT, Pair};

#[test]
fn ext4() {
    use_and_check("mkfs.ext4 -q", "e2fsck -f -n");
}

#[test]
fn xfs() {
    use_and_check("mkfs.xfs -q", "xfs_repair -n");
}

#[test]
fn btrfs() {
    use_and_check("mkfs.btrfs -q", "btrfs check --readonly");
}

/// Makes a file system, uses it in every way that makes its own kind of request, and lets its own
/// checker judge the mirror.
fn use_and_check(make: &str, check: &str) {
    let pair = Pair::new();
    let device = pair.device();
    shell(&format!(
        "{make} {device} && mount -o discard {device} {MOUNT}"
    ));
    shell(&format!(
        "cd {MOUNT}
         mkdir many
         for n in $(seq 150); do echo \"file $n\" > many/$n; done
         head -c 6M /dev/urandom > large
         sync large
         cp large copy
         fallocate --punch-hole --offset 1M --length 1M copy
         truncate --size 3M large
         mv many/7 seven
         ln -s large link
         rm many/1*
         sync"
    ));
    // what is unmounted and mounted again came from the device, not from memory
    shell(&format!("umount {MOUNT} && mount {device} {MOUNT}"));
    shell(&format!(
        "test \"$(cat {MOUNT}/seven)\" = 'file 7' && rm {MOUNT}/copy"
    ));
    shell(&format!("fstrim {MOUNT} && umount {MOUNT}"));
    let disks = pair.end();
    shell(&format!("{check} {}", disks.mirror.display()));
}

//! A partition table and a volume group: to the device, transactions like any other.

use crate::machine::shell;
use crate::pair::{MOUNT, Pair};

#[test]
fn a_partition_table_with_two_file_systems() {
    let pair = Pair::new();
    let device = pair.device();
    shell(&format!(
        "printf 'label: gpt\\nsize=100M\\nsize=150M\\n' | sfdisk --quiet {device}
         mkfs.ext4 -q {device}p1
         mkfs.btrfs -q {device}p2
         for part in p1 p2; do
             mount {device}$part {MOUNT}; head -c 2M /dev/urandom > {MOUNT}/file; umount {MOUNT}
         done"
    ));
    let table = shell(&format!("sfdisk --dump {device} | grep -o 'start=.*'"));
    let disks = pair.end();
    let mirror = disks.mirror.display();
    assert_eq!(
        shell(&format!("sfdisk --dump {mirror} | grep -o 'start=.*'")),
        table
    );
    shell(&format!(
        "blockdev --rereadpt {mirror}; e2fsck -f -n {mirror}1"
    ));
}

#[test]
fn a_volume_group() {
    let pair = Pair::new();
    let device = pair.device();
    shell("modprobe dm-mod");
    lvm("pvcreate", &device, &device);
    lvm("vgcreate", &device, &format!("aimgroup {device}"));
    lvm(
        "lvcreate",
        &device,
        "--zero n --wipesignatures n -n one -L 100M aimgroup",
    );
    shell(&format!(
        "mkfs.ext4 -q /dev/mapper/aimgroup-one; mount /dev/mapper/aimgroup-one {MOUNT}
         head -c 2M /dev/urandom > {MOUNT}/file; umount {MOUNT}"
    ));
    lvm("lvextend", &device, "-L +50M aimgroup/one");
    shell("e2fsck -f -p /dev/mapper/aimgroup-one; resize2fs /dev/mapper/aimgroup-one");
    lvm("vgchange", &device, "-an aimgroup");
    let disks = pair.end();
    let mirror = disks.mirror.display().to_string();
    let named = lvm("pvs", &mirror, "--noheadings -o vg_name");
    assert_eq!(named.trim(), "aimgroup");
}

/// Runs LVM on `disk` alone: the three that hold the same bytes bear the same names.
fn lvm(command: &str, disk: &str, words: &str) -> String {
    let filter = format!(r#"filter=["a|^{disk}$|","r|.*|"] use_devicesfile=0"#);
    // there is no udev in a guest
    let alone = "obtain_device_list_from_udev=0";
    let activation = "activation { udev_sync=0 udev_rules=0 }";
    shell(&format!(
        "lvm {command} --config 'devices {{ {filter} {alone} }} {activation}' {words}"
    ))
}

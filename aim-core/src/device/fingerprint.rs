//! What makes a block device recognizable, as the kernel shows it in sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::identity::Fingerprint;

/// Attributes that stay with a disk over reboots and renumbering, best first.
const ATTRIBUTES: [&str; 6] = [
    "wwid",
    "device/wwid",
    "serial",
    "device/serial",
    "dm/uuid",
    "md/uuid",
];

/// The fingerprint of the block device `major:minor`.
pub(super) fn of_block_device(major: u32, minor: u32) -> Fingerprint {
    let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    match fs::canonicalize(link) {
        Ok(node) => of_node(&node),
        Err(_) => Fingerprint::UNKNOWN,
    }
}

/// The fingerprint of a device's folder in sysfs; a partition has its disk's, and its number.
fn of_node(node: &Path) -> Fingerprint {
    let partition = attribute(node, "partition");
    let disk = match (&partition, node.parent()) {
        (Some(_), Some(disk)) => disk,
        _ => node,
    };
    let named = ATTRIBUTES.iter().find_map(|name| {
        let value = attribute(disk, name)?;
        Some(format!("{name}={value}"))
    });
    match (named, partition) {
        (Some(disk), Some(number)) => Fingerprint::of(&format!("{disk} partition={number}")),
        (Some(disk), None) => Fingerprint::of(&disk),
        (None, _) => Fingerprint::UNKNOWN,
    }
}

fn attribute(node: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(node.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_disk_differ_and_a_disk_without_a_name_is_unknown() {
        let temp = tempfile::tempdir().unwrap();
        let disk = temp.path().join("vda");
        for part in ["vda1", "vda2"] {
            fs::create_dir_all(disk.join(part)).unwrap();
            fs::write(disk.join(part).join("partition"), &part[3..]).unwrap();
        }
        assert_eq!(of_node(&disk), Fingerprint::UNKNOWN);
        assert_eq!(of_node(&disk.join("vda1")), Fingerprint::UNKNOWN);
        fs::write(disk.join("serial"), "MIRROR-1\n").unwrap();
        assert_eq!(of_node(&disk), Fingerprint::of("serial=MIRROR-1"));
        let first = of_node(&disk.join("vda1"));
        assert_ne!(first, of_node(&disk));
        assert_ne!(first, of_node(&disk.join("vda2")));
    }
}

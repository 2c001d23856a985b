//! What is mounted from a disk, however many layers lie between.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::graph::{DiskGraph, Store};
use super::mounts::{Mount, MountTable};

/// Where file systems are mounted that lie on one of `disks`: on a partition, a volume or an
/// image on it, or as an overlay of folders on it. The last one mounted comes first.
pub(crate) fn mounted_on(graph: &DiskGraph, disks: &BTreeSet<Store>) -> Vec<PathBuf> {
    let mounts = graph.mounts().mounts();
    let mut found: Vec<bool> = mounts
        .iter()
        .map(|mount| {
            let beneath = graph.beneath_device(MountTable::device_of(mount));
            !beneath.is_disjoint(disks)
        })
        .collect();
    // an overlay can be a layer of another one
    let mut grew = true;
    while grew {
        grew = false;
        for index in 0..mounts.len() {
            let hangs_on = |layer: &PathBuf| holder(mounts, layer).is_some_and(|on| found[on]);
            if !found[index] && mounts[index].layers.iter().any(hangs_on) {
                found[index] = true;
                grew = true;
            }
        }
    }
    let points = mounts.iter().zip(found).rev();
    points
        .filter(|(_, found)| *found)
        .map(|(mount, _)| mount.point.clone())
        .collect()
}

/// Which mount a path lies on, by its name: the last of the longest.
fn holder(mounts: &[Mount], path: &Path) -> Option<usize> {
    let candidates = mounts.iter().enumerate();
    candidates
        .filter(|(_, mount)| path.starts_with(&mount.point))
        .max_by_key(|(_, mount)| mount.point.components().count())
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::super::device_number::DeviceNumber;
    use super::*;

    const INFO: &str = "\
1 0 254:1 / / rw - ext4 /dev/vda1 rw
2 1 259:0 / /data rw - ext4 /dev/ublkb0 rw
3 1 254:2 / /other rw - ext4 /dev/vdb rw
4 1 0:50 / /merged rw - overlay overlay rw,lowerdir=/lower,upperdir=/data/upper,workdir=/data/work
5 1 0:51 / /over/merged rw - overlay overlay rw,lowerdir=/merged/x
6 1 0:52 / /elsewhere rw - overlay overlay rw,lowerdir=/other/data
7 1 253:0 / /lv rw - xfs /dev/dm-0 rw";

    #[test]
    fn partitions_volumes_and_overlays_hang_on_the_disk() {
        let sys = tempfile::tempdir().unwrap();
        let node = |number: &str| sys.path().join(format!("dev/block/{number}"));
        for number in ["259:0", "253:0"] {
            std::fs::create_dir_all(node(number).join("slaves")).unwrap();
            std::fs::write(node(number).join("dev"), number).unwrap();
        }
        let slave = node("253:0").join("slaves/ublkb0");
        std::os::unix::fs::symlink(node("259:0"), slave).unwrap();
        let graph = DiskGraph::at(sys.path(), MountTable::parse(INFO, ""));
        let disk = Store::Device(DeviceNumber::from_str("259:0").unwrap());
        let found = mounted_on(&graph, &BTreeSet::from([disk]));
        let expected = ["/lv", "/over/merged", "/merged", "/data"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}

//! Which block devices lie on which, as sysfs tells it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::device_number::DeviceNumber;
use super::mounts::MountTable;

/// Something that bytes are stored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    /// A block device.
    Device(DeviceNumber),
    /// A regular file: the file system's device, and the inode.
    File(DeviceNumber, u64),
}

/// Sysfs and the mount table, to walk from a disk to what it lies on.
#[derive(Debug)]
pub(crate) struct DiskGraph {
    sys: PathBuf,
    mounts: MountTable,
}

impl DiskGraph {
    /// The running host.
    pub(crate) fn of_host(mounts: MountTable) -> Self {
        Self::at("/sys", mounts)
    }

    /// A sysfs tree elsewhere.
    pub(crate) fn at(sys: impl Into<PathBuf>, mounts: MountTable) -> Self {
        Self {
            sys: sys.into(),
            mounts,
        }
    }

    /// The mount table that it was made with.
    pub(crate) fn mounts(&self) -> &MountTable {
        &self.mounts
    }

    /// Everything that the bytes of the disk or folder at `path` are stored on: the whole disk
    /// of a partition, the members of a RAID or LVM volume, the file behind a loop device and the
    /// disk that this file is on. A disk lies on itself, too. Empty if there is no such path.
    pub(crate) fn beneath(&self, path: &Path) -> BTreeSet<Store> {
        self.all_beneath(self.at_path(path))
    }

    /// As [`beneath`](Self::beneath), of a device.
    pub(crate) fn beneath_device(&self, number: DeviceNumber) -> BTreeSet<Store> {
        self.all_beneath(vec![Store::Device(number)])
    }

    fn all_beneath(&self, mut todo: Vec<Store>) -> BTreeSet<Store> {
        let mut seen = BTreeSet::new();
        while let Some(store) = todo.pop() {
            if seen.insert(store)
                && let Store::Device(number) = store
            {
                self.one_level_beneath(number, &mut todo);
            }
        }
        seen
    }

    /// What is at the path, and for a file or folder what its file system is on.
    fn at_path(&self, path: &Path) -> Vec<Store> {
        let own = store_of(path);
        let mut stores: Vec<Store> = own.into_iter().collect();
        if !matches!(own, Some(Store::Device(_))) {
            stores.extend(self.mounts.under(path).map(Store::Device));
        }
        stores
    }

    fn one_level_beneath(&self, number: DeviceNumber, found: &mut Vec<Store>) {
        let Ok(folder) = std::fs::canonicalize(self.sys.join(format!("dev/block/{number}"))) else {
            return;
        };
        if folder.join("partition").exists()
            && let Some(whole) = folder.parent().and_then(number_in)
        {
            found.push(Store::Device(whole));
        }
        for slave in entries(&folder.join("slaves")) {
            found.extend(number_in(&slave).map(Store::Device));
        }
        if let Ok(path) = std::fs::read_to_string(folder.join("loop/backing_file")) {
            found.extend(self.at_path(Path::new(path.trim_end_matches('\n'))));
        }
    }

    /// What has taken the device for itself: its partitions, and devices built on it or on one
    /// of its partitions, by kernel name. Partitions are named only where `partitions` asks.
    pub(crate) fn above(&self, number: DeviceNumber) -> Above {
        let folder = self.sys.join(format!("dev/block/{number}"));
        let mut above = Above {
            holders: names(&folder.join("holders")),
            partitions: Vec::new(),
        };
        for entry in entries(&folder) {
            if entry.join("partition").exists() {
                above.holders.extend(names(&entry.join("holders")));
                above.partitions.extend(number_in(&entry));
            }
        }
        above
    }
}

/// What stands on a device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Above {
    /// Kernel names of devices built on it or on one of its partitions.
    pub(crate) holders: Vec<String>,
    /// Its partitions.
    pub(crate) partitions: Vec<DeviceNumber>,
}

/// What a path stands for: a block device or a regular file; `None` for anything else.
pub(crate) fn store_of(path: &Path) -> Option<Store> {
    use std::os::unix::fs::FileTypeExt;
    let facts = std::fs::metadata(path).ok()?;
    if facts.file_type().is_block_device() {
        Some(Store::Device(DeviceNumber::from_raw(facts.rdev())))
    } else if facts.is_file() {
        Some(Store::File(
            DeviceNumber::from_raw(facts.dev()),
            facts.ino(),
        ))
    } else {
        None
    }
}

fn number_in(folder: &Path) -> Option<DeviceNumber> {
    std::fs::read_to_string(folder.join("dev"))
        .ok()?
        .parse()
        .ok()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten();
    listed.flatten().map(|entry| entry.path()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(folder).into_iter().flatten();
    listed
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: DeviceNumber = DeviceNumber {
        major: 254,
        minor: 16,
    };
    const PART: DeviceNumber = DeviceNumber {
        major: 254,
        minor: 17,
    };
    const LVM: DeviceNumber = DeviceNumber {
        major: 253,
        minor: 0,
    };

    /// `vdb` with partition `vdb1`, and `dm-0` on `vdb1`.
    fn sysfs(root: &Path) {
        let disk = root.join("devices/vdb");
        let part = disk.join("vdb1");
        let lvm = root.join("devices/dm-0");
        for (folder, number) in [(&disk, DISK), (&part, PART), (&lvm, LVM)] {
            std::fs::create_dir_all(folder.join("holders")).unwrap();
            std::fs::create_dir_all(folder.join("slaves")).unwrap();
            std::fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
            let link = root.join(format!("dev/block/{number}"));
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(folder, link).unwrap();
        }
        std::fs::write(part.join("partition"), "1\n").unwrap();
        std::os::unix::fs::symlink(&lvm, part.join("holders/dm-0")).unwrap();
        std::os::unix::fs::symlink(&part, lvm.join("slaves/vdb1")).unwrap();
    }

    #[test]
    fn a_logical_volume_lies_on_partition_and_disk() {
        let temp = tempfile::tempdir().unwrap();
        sysfs(temp.path());
        let graph = DiskGraph::at(temp.path(), MountTable::default());
        let mut beneath = vec![Store::Device(LVM)];
        graph.one_level_beneath(LVM, &mut beneath);
        graph.one_level_beneath(PART, &mut beneath);
        assert_eq!(beneath, [LVM, PART, DISK].map(Store::Device));
        let above = graph.above(DISK);
        assert_eq!(above.holders, ["dm-0"]);
        assert_eq!(above.partitions, [PART]);
    }

    #[test]
    fn an_image_lies_on_itself_and_its_file_system() {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        std::fs::write(&image, [0; 512]).unwrap();
        let graph = DiskGraph::at("/nonexistent", MountTable::default());
        let beneath = graph.beneath(&image);
        let number = DeviceNumber::from_raw(image.metadata().unwrap().dev());
        assert_eq!(beneath.len(), 2);
        assert!(beneath.contains(&Store::Device(number)));
        assert!(graph.beneath(Path::new("/nonexistent")).is_empty());
    }
}

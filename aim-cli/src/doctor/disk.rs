//! The disk of a volume or of a mirror, and what else is on it.

use std::collections::BTreeSet;
use std::path::Path;

use aim_core::device::BlockDevice;

use super::finding::Section;
use crate::disk;
use crate::host::{DiskGraph, Store, existing};

/// Looks whether it can be read, and how large it is.
pub(super) fn examine(section: &mut Section, path: &Path) {
    match disk::open_read_only(path) {
        Ok(device) => {
            let size = device.size().get();
            let finding = section.ok("disk", format!("{} has {size} bytes", path.display()));
            finding.figure("size_bytes", size);
        }
        Err(failure) => section.failed("disk", failure),
    }
}

/// Whether a folder and a disk are stored on one block device, at any level.
pub(super) fn shares(graph: &DiskGraph, folder: &Path, disk: &Path) -> bool {
    let Some(there) = existing(folder) else {
        return false;
    };
    let devices = |path| {
        graph
            .beneath(path)
            .into_iter()
            .filter(|store| matches!(store, Store::Device(_)))
            .collect::<BTreeSet<_>>()
    };
    !devices(there).is_disjoint(&devices(disk))
}

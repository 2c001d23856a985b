//! What the host knows of one disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::device_number::DeviceNumber;
use super::graph::{DiskGraph, Store, store_of};
use super::signature::{self, Signature};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// A disk, as found.
#[derive(Debug)]
pub(crate) struct DeviceFacts {
    /// The path that was asked about.
    pub(crate) path: PathBuf,
    /// What uses it, in words: mount points, devices built on it, another program.
    pub(crate) uses: Vec<String>,
    /// Signs that it bears data.
    pub(crate) signatures: Vec<Signature>,
}

/// Looks at the disk at `path` without changing anything.
///
/// # Errors
///
/// It is not there, is neither a block device nor a regular file, or can't be read.
pub(crate) fn inspect(path: &Path, graph: &DiskGraph) -> Outcome<DeviceFacts> {
    let file = File::open(path).map_err(|error| {
        Problem::new("can't open the disk")
            .at(path.display())
            .hint("check the name with `lsblk`; only root may open disks")
            .io(&error)
    })?;
    let Some(store) = store_of(path) else {
        return Err(Problem::new("neither a block device nor an image file")
            .at(path.display())
            .exit(Exit::Usage));
    };
    let mut uses = Vec::new();
    if let Store::Device(number) = store {
        uses.extend(uses_of(number, graph, path));
    }
    let signatures = size_of(&file)
        .and_then(|size| signature::find(size, |offset, buffer| file.read_exact_at(buffer, offset)))
        .map_err(|error| {
            Problem::new("can't read the disk")
                .at(path.display())
                .io(&error)
        })?;
    Ok(DeviceFacts {
        path: path.to_owned(),
        uses,
        signatures,
    })
}

fn uses_of(number: DeviceNumber, graph: &DiskGraph, path: &Path) -> Vec<String> {
    let mut uses = Vec::new();
    let above = graph.above(number);
    uses.extend(graph.mounts().uses(number));
    for partition in above.partitions {
        let of_partition = graph.mounts().uses(partition).into_iter();
        uses.extend(of_partition.map(|how| format!("partition {partition} {how}")));
    }
    uses.extend(above.holders.iter().map(|name| format!("part of {name}")));
    if uses.is_empty() && is_claimed(path) {
        uses.push("claimed by another program".to_owned());
    }
    uses
}

/// Whether someone holds the block device exclusively: a mount in another namespace, a daemon.
fn is_claimed(path: &Path) -> bool {
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(exclusive)
        .open(path);
    matches!(opened, Err(error) if error.kind() == io::ErrorKind::ResourceBusy)
}

fn size_of(file: &File) -> io::Result<u64> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::End(0)).map_err(io::Error::from)
}

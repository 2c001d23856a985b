//! Block sizes and queue limits of a backing disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Sizes in bytes that a device takes over from the disk behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Smallest unit of a request; a power of two, at least 512.
    pub logical_block: u32,
    /// Unit in which the medium writes; a power of two, at least the logical block.
    pub physical_block: u32,
    /// Preferred smallest request.
    pub io_min: u32,
    /// Preferred request, or 0 when the disk has no preference.
    pub io_opt: u32,
    /// Whether seeks are dear.
    pub rotational: bool,
    /// How ranges can be discarded; `None` when a discard would have to write zeroes.
    pub discard: Option<DiscardLimits>,
}

/// Limits of discards, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardLimits {
    /// Smallest unit that is given back.
    pub granularity: u32,
    /// Where the first such unit starts.
    pub alignment: u32,
}

impl Limits {
    /// Reads the limits of the block device `major:minor` from sysfs.
    pub(super) fn of_block_device(major: u32, minor: u32) -> Result<Self> {
        let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        // a partition has no queue of its own but its disk's, one level up
        let own = device.join("queue");
        let queue = if own.exists() {
            own
        } else {
            device.join("../queue")
        };
        let logical_block: u32 = read(&queue.join("logical_block_size"))?;
        let physical_block: u32 = read(&queue.join("physical_block_size"))?;
        Ok(Self {
            logical_block,
            physical_block: physical_block.max(logical_block),
            io_min: read(&queue.join("minimum_io_size"))?,
            io_opt: read(&queue.join("optimal_io_size"))?,
            rotational: read::<u8>(&queue.join("rotational"))? != 0,
            discard: discard(&device, &queue, logical_block)?,
        })
    }

    /// Limits of an image file: `direct` is the alignment that its file system wants of direct
    /// I/O, `block` the unit in which it allocates.
    pub(super) fn of_image_file(direct: u32, block: u32) -> Self {
        let logical_block = direct.next_power_of_two().max(512);
        let physical_block = block.next_power_of_two().clamp(logical_block, 1 << 16);
        Self {
            logical_block,
            physical_block,
            io_min: physical_block,
            io_opt: 0,
            rotational: false,
            discard: Some(DiscardLimits {
                granularity: physical_block,
                alignment: 0,
            }),
        }
    }
}

/// A discarded range has to read as zeroes afterwards. Where the disk can't do that by itself,
/// each discard would become a write of zeroes: it is better not to offer it.
fn discard(device: &Path, queue: &Path, logical_block: u32) -> Result<Option<DiscardLimits>> {
    let most: u64 = read(&queue.join("discard_max_bytes"))?;
    let zeroes: u64 = read(&queue.join("write_zeroes_max_bytes"))?;
    if most == 0 || zeroes == 0 {
        return Ok(None);
    }
    let granularity: u32 = read(&queue.join("discard_granularity"))?;
    Ok(Some(DiscardLimits {
        granularity: granularity.max(logical_block),
        alignment: read(&device.join("discard_alignment"))?,
    }))
}

fn read<T: std::str::FromStr>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    text.trim().parse().map_err(|_| {
        let found = std::io::Error::other(format!("unexpected value `{}`", text.trim()));
        Error::io("understand", path, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_file_gets_whole_powers_of_two() {
        let limits = Limits::of_image_file(0, 4096);
        assert_eq!((limits.logical_block, limits.physical_block), (512, 4096));
        let limits = Limits::of_image_file(4096, 512);
        assert_eq!((limits.logical_block, limits.physical_block), (4096, 4096));
        let limits = Limits::of_image_file(512, 1 << 20);
        assert_eq!(limits.physical_block, 1 << 16);
    }
}

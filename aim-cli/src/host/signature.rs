//! Signs that a disk bears data: magic numbers of file systems, partition tables and the like.

use std::fmt;
use std::io;

/// A sign found on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// What bears it, as people call it.
    pub(crate) name: &'static str,
    /// Where it is, in bytes from the start.
    pub(crate) offset: u64,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.name, self.offset)
    }
}

/// Where a magic number stands.
enum Place {
    /// Bytes from the start.
    Start(u64),
    /// Bytes before the end.
    End(u64),
    /// In the block of 64 KiB before the last boundary of 64 KiB (md version 0.90).
    LastBlock,
    /// 8 KiB or more before the end, down to a boundary of 4 KiB (md version 1.0).
    BeforeEnd,
}

use Place::{BeforeEnd, End, LastBlock, Start};

const MD: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
const GPT: &[u8] = b"EFI PART";

const MAGICS: &[(&str, Place, &[u8])] = &[
    ("ext2/3/4 file system", Start(0x438), &[0x53, 0xef]),
    ("xfs file system", Start(0), b"XFSB"),
    ("btrfs file system", Start(0x1_0040), b"_BHRfS_M"),
    ("f2fs file system", Start(0x400), &[0x10, 0x20, 0xf5, 0xf2]),
    ("NTFS file system", Start(3), b"NTFS    "),
    ("exFAT file system", Start(3), b"EXFAT   "),
    ("squashfs file system", Start(0), b"hsqs"),
    ("jfs file system", Start(0x8000), b"JFS1"),
    ("ISO 9660 file system", Start(0x8001), b"CD001"),
    ("ZFS pool member", Start(0x2_0000), &[0x0c, 0xb1, 0xba, 0]),
    ("LUKS encrypted volume", Start(0), b"LUKS\xba\xbe"),
    ("LUKS encrypted volume", Start(0x4000), b"SKUL\xba\xbe"),
    ("LVM physical volume", Start(0), b"LABELONE"),
    ("LVM physical volume", Start(512), b"LABELONE"),
    ("LVM physical volume", Start(1024), b"LABELONE"),
    ("LVM physical volume", Start(1536), b"LABELONE"),
    ("swap area", Start(4096 - 10), b"SWAPSPACE2"),
    ("swap area", Start(65536 - 10), b"SWAPSPACE2"),
    ("md RAID member", Start(0), MD),
    ("md RAID member", Start(4096), MD),
    ("md RAID member", LastBlock, MD),
    ("md RAID member", BeforeEnd, MD),
    ("GPT partition table", Start(512), GPT),
    ("GPT partition table", Start(4096), GPT),
    ("GPT backup partition table", End(512), GPT),
    ("GPT backup partition table", End(4096), GPT),
    (
        "MBR partition table or boot sector",
        Start(510),
        &[0x55, 0xaa],
    ),
];

/// Finds every known sign on a disk of `size` bytes; `read` fills a buffer from an offset.
///
/// # Errors
///
/// Those of `read`.
pub(crate) fn find(
    size: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Vec<Signature>> {
    let mut found = Vec::new();
    let mut block = Block {
        start: u64::MAX,
        bytes: vec![0; BLOCK],
    };
    for (name, place, magic) in MAGICS {
        let Some(offset) = place.offset(size) else {
            continue;
        };
        if offset + magic.len() as u64 > size {
            continue;
        }
        block.load(offset, size, &mut read)?;
        let from = (offset - block.start) as usize;
        if block.bytes.get(from..from + magic.len()) == Some(*magic) {
            found.push(Signature { name, offset });
        }
    }
    Ok(found)
}

impl Place {
    fn offset(&self, size: u64) -> Option<u64> {
        match self {
            Start(offset) => Some(*offset),
            End(distance) => size.checked_sub(*distance),
            LastBlock => (size & !0xffff).checked_sub(0x1_0000),
            BeforeEnd => size.checked_sub(0x2000).map(|offset| offset & !0xfff),
        }
    }
}

/// The largest logical block size: reads in this unit are aligned on every disk.
const BLOCK: usize = 4096;

/// The block read last: neighbouring magic numbers cost one read.
struct Block {
    start: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn load(
        &mut self,
        offset: u64,
        size: u64,
        read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = offset / BLOCK as u64 * BLOCK as u64;
        if start != self.start {
            let len = usize::try_from(size - start).map_or(BLOCK, |rest| rest.min(BLOCK));
            self.bytes.resize(len, 0);
            read(start, &mut self.bytes)?;
            self.start = start;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(disk: &[u8]) -> Vec<&'static str> {
        let read = |offset: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&disk[offset as usize..][..buffer.len()]);
            Ok(())
        };
        let found = find(disk.len() as u64, read).unwrap();
        found.iter().map(|signature| signature.name).collect()
    }

    #[test]
    fn every_magic_number_is_found_where_it_stands() {
        for (name, place, magic) in MAGICS {
            let mut disk = vec![0; 1 << 20];
            let offset = place.offset(disk.len() as u64).unwrap() as usize;
            disk[offset..offset + magic.len()].copy_from_slice(magic);
            assert!(names(&disk).contains(name), "{name} at {offset}");
        }
    }

    #[test]
    fn a_blank_or_tiny_disk_bears_none() {
        assert!(names(&vec![0; 1 << 20]).is_empty());
        assert!(names(&[0; 1000]).is_empty());
        assert!(names(&[]).is_empty());
    }
}

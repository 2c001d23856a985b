//! `/proc/self/mountinfo` and `/proc/swaps`: what is mounted, and from where.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::graph::DeviceNumber;

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// As the kernel knows the file system; anonymous (major 0) for btrfs and others.
    pub(crate) device: DeviceNumber,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// What was mounted: often a device path.
    pub(crate) source: PathBuf,
}

/// All mounts and swap areas.
#[derive(Clone, Debug, Default)]
pub(crate) struct MountTable {
    mounts: Vec<Mount>,
    swaps: Vec<PathBuf>,
}

impl MountTable {
    /// Reads the tables of the running process.
    pub(crate) fn read() -> io::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        // absent on a kernel without swap
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        Ok(Self::parse(&mounts, &swaps))
    }

    /// Understands the text of both files; lines that do not fit are left out.
    pub(crate) fn parse(mountinfo: &str, swaps: &str) -> Self {
        Self {
            mounts: mountinfo.lines().filter_map(parse_mount).collect(),
            swaps: swaps
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().next())
                .map(|path| PathBuf::from(unescape(path)))
                .collect(),
        }
    }

    /// Where the device, by number or by what was mounted, is in use: mount points, or "swap".
    pub(crate) fn uses(&self, device: DeviceNumber) -> Vec<String> {
        let mut uses: Vec<String> = self
            .mounts
            .iter()
            .filter(|mount| mount.device == device || number_of(&mount.source) == Some(device))
            .map(|mount| mount.point.display().to_string())
            .collect();
        if self
            .swaps
            .iter()
            .any(|path| number_of(path) == Some(device))
        {
            uses.push("swap".to_owned());
        }
        uses.dedup();
        uses
    }

    /// The block device under a file system whose files have `device` as theirs: that number
    /// itself, or, where it is anonymous, that of the device that was mounted.
    pub(crate) fn backing(&self, device: DeviceNumber) -> DeviceNumber {
        if device.major != 0 {
            return device;
        }
        self.mounts
            .iter()
            .filter(|mount| mount.device == device)
            .find_map(|mount| number_of(&mount.source))
            .unwrap_or(device)
    }
}

/// `36 35 98:0 /root /mount/point options ... - type source options`
fn parse_mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(2);
    let device = front.next()?.parse().ok()?;
    let point = PathBuf::from(unescape(front.nth(1)?));
    let source = PathBuf::from(unescape(back.split(' ').nth(1)?));
    Some(Mount {
        device,
        point,
        source,
    })
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok())
        {
            Some(byte) => {
                whole.push(char::from(byte));
                whole.push_str(&part[3..]);
            }
            None => {
                whole.push('\\');
                whole.push_str(part);
            }
        }
    }
    whole
}

/// The number of the block device at `path`, if there is one.
fn number_of(path: &Path) -> Option<DeviceNumber> {
    use std::os::unix::fs::FileTypeExt;
    if !path.is_absolute() {
        return None;
    }
    let facts = std::fs::metadata(path).ok()?;
    facts
        .file_type()
        .is_block_device()
        .then(|| DeviceNumber::from_raw(facts.rdev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 22 0:35 /sub /srv/a\\040b rw shared:9 - btrfs /nonexistent/vdb rw
41 22 0:5 / /dev rw - devtmpfs udev rw";

    #[test]
    fn mounts_are_found_by_number() {
        let table = MountTable::parse(INFO, "Filename Type\n");
        let root = DeviceNumber {
            major: 254,
            minor: 1,
        };
        assert_eq!(table.uses(root), ["/"]);
        assert_eq!(table.mounts[1].point, Path::new("/srv/a b"));
        assert!(table.uses(DeviceNumber { major: 8, minor: 0 }).is_empty());
        assert_eq!(table.backing(root), root);
    }

    #[test]
    fn half_a_line_is_left_out() {
        assert!(MountTable::parse("22 1 254:1", "").mounts.is_empty());
        assert_eq!(unescape("a\\9"), "a\\9");
    }
}

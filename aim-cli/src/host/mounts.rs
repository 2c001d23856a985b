//! `/proc/self/mountinfo` and `/proc/swaps`: what is mounted, and from where.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use super::device_number::DeviceNumber;

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// By which `statx` names it.
    pub(crate) id: u64,
    /// As the kernel knows the file system; anonymous (major 0) for btrfs and others.
    pub(crate) device: DeviceNumber,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// What was mounted: often a device path.
    pub(crate) source: PathBuf,
    /// The folders that an overlay is made of.
    pub(crate) layers: Vec<PathBuf>,
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

    /// All mounts, in the order in which they were made.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// How the device, by number or by what was mounted, is in use: "mounted at /srv", "swap".
    pub(crate) fn uses(&self, device: DeviceNumber) -> Vec<String> {
        let mut uses: Vec<String> = self
            .mounts
            .iter()
            .filter(|mount| mount.device == device || number_of(&mount.source) == Some(device))
            .map(|mount| format!("mounted at {}", mount.point.display()))
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

    /// The block device that a mount's file system is on.
    pub(crate) fn device_of(mount: &Mount) -> DeviceNumber {
        match mount.device.major {
            0 => number_of(&mount.source).unwrap_or(mount.device),
            _ => mount.device,
        }
    }

    /// The block device that the file or folder at `path` is stored on, as far as the kernel
    /// names one. The device number of a file is no help with btrfs, which makes one up for each
    /// subvolume: there the device that was mounted tells.
    pub(crate) fn under(&self, path: &Path) -> Option<DeviceNumber> {
        let own = DeviceNumber::from_raw(path.metadata().ok()?.dev());
        if own.major != 0 {
            return Some(own);
        }
        let id = mount_id(path);
        let mount = self.mounts.iter().find(|mount| Some(mount.id) == id);
        let source = mount.and_then(|mount| number_of(&mount.source));
        Some(source.unwrap_or(own))
    }
}

/// The mount that `path` is reached through.
fn mount_id(path: &Path) -> Option<u64> {
    let wanted = StatxFlags::MNT_ID;
    let facts = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted).ok()?;
    let given = StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted);
    given.then_some(facts.stx_mnt_id)
}

/// `36 35 98:0 /root /mount/point options ... - type source options`
fn parse_mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ');
    let id = front.next()?.parse().ok()?;
    let device = front.nth(1)?.parse().ok()?;
    let point = PathBuf::from(unescape(front.nth(1)?));
    let mut back = back.split(' ');
    let kind = back.next()?;
    let source = PathBuf::from(unescape(back.next()?));
    let layers = match kind {
        "overlay" => layers(back.next().unwrap_or_default()),
        _ => Vec::new(),
    };
    Some(Mount {
        id,
        device,
        point,
        source,
        layers,
    })
}

/// The folders in the options of an overlay.
fn layers(options: &str) -> Vec<PathBuf> {
    let folders = options.split(',').filter_map(|option| {
        let (name, folders) = option.split_once('=')?;
        let named = name.starts_with("lowerdir") || name.starts_with("datadir");
        (named || matches!(name, "upperdir" | "workdir")).then_some(folders)
    });
    folders
        .flat_map(|folders| folders.split(':'))
        .map(|folder| PathBuf::from(unescape(folder)))
        .collect()
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
41 22 0:5 / /dev rw - devtmpfs udev rw
42 22 0:40 / /merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u\\040p,workdir=/w,xino=off";

    #[test]
    fn mounts_are_found_by_number() {
        let table = MountTable::parse(INFO, "Filename Type\n");
        let root = DeviceNumber {
            major: 254,
            minor: 1,
        };
        assert_eq!(table.uses(root), ["mounted at /"]);
        assert_eq!(table.mounts[1].id, 40);
        assert_eq!(table.mounts[1].point, Path::new("/srv/a b"));
        assert!(table.uses(DeviceNumber { major: 8, minor: 0 }).is_empty());
        assert!(table.mounts[0].layers.is_empty());
        assert_eq!(
            table.mounts[3].layers,
            ["/a", "/b", "/u p", "/w"].map(PathBuf::from)
        );
    }

    #[test]
    fn every_folder_here_is_on_a_known_mount() {
        let table = MountTable::read().unwrap();
        let id = mount_id(Path::new("/proc"));
        assert!(table.mounts.iter().any(|mount| Some(mount.id) == id));
        assert!(table.under(Path::new("/")).is_some());
        assert!(table.under(Path::new("/nonexistent")).is_none());
    }

    #[test]
    fn half_a_line_is_left_out() {
        assert!(MountTable::parse("22 1 254:1", "").mounts.is_empty());
        assert_eq!(unescape("a\\9"), "a\\9");
    }
}

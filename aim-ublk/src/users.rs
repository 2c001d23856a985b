//! Who uses a block device.
//!
//! The kernel stops a ublk device whoever uses it: a mounted file system is shut down under its
//! users. So a device is asked about before it is stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// One user of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum User {
    /// Another block device is built on it (LVM, RAID, encryption).
    Holder(String),
    /// A file system is mounted from it, there.
    Mount(PathBuf),
    /// A process has it open.
    Process {
        /// Its number.
        pid: u32,
        /// Its command.
        name: String,
    },
    /// It is swapped to.
    Swap,
    /// The kernel says that it is claimed, but not by whom: perhaps in another namespace.
    Unknown,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holder(name) => write!(f, "held by {name}"),
            Self::Mount(path) => write!(f, "mounted on {}", path.display()),
            Self::Process { pid, name } => write!(f, "open in {name} (process {pid})"),
            Self::Swap => f.write_str("used as swap"),
            Self::Unknown => f.write_str("claimed, perhaps in another namespace"),
        }
    }
}

/// The exclusive claim on a device that nobody uses: as long as it lives, nothing can mount it.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

/// Claims the whole disk `device`, partitions included.
///
/// # Errors
///
/// [`Error::InUse`] with everyone who was found to use it.
pub(crate) fn claim(device: &Path) -> Result<Claim> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let claimed = match rustix::fs::open(device, flags, Mode::empty()) {
        Ok(fd) => Some(File::from(fd)),
        Err(Errno::BUSY) => None,
        Err(errno) => return Err(Error::io("claim", device, errno)),
    };
    let mut users = users(device)?;
    match claimed {
        Some(file) if users.is_empty() => Ok(Claim { _file: file }),
        _ => {
            if users.is_empty() {
                users.push(User::Unknown);
            }
            Err(Error::InUse {
                path: device.to_owned(),
                users,
            })
        }
    }
}

/// Has what the users of the disk have written, and the kernel still holds, written to it.
pub(crate) fn write_back(device: &Path, users: &[User]) {
    for user in users {
        let User::Mount(point) = user else { continue };
        // the mount may be in the namespace of init, or in ours
        let of_init = Path::new("/proc/1/root").join(point.strip_prefix("/").unwrap_or(point));
        for point in [&of_init, point] {
            if let Ok(folder) = File::open(point) {
                let synced = rustix::fs::syncfs(&folder);
                tracing::debug!(point = %point.display(), ?synced, "file system written back");
            }
        }
    }
    // whoever uses the disk without a file system
    let synced = File::open(device).and_then(|disk| disk.sync_all());
    tracing::debug!(device = %device.display(), ?synced, "disk written back");
}

/// Everyone who can be seen to use the disk or a partition of it, but this process.
fn users(device: &Path) -> Result<Vec<User>> {
    let nodes = nodes(device)?;
    let mut users = Vec::new();
    for name in nodes.values() {
        let holders = Path::new("/sys/class/block").join(name).join("holders");
        users.extend(entries(&holders).map(|holder| User::Holder(text(&holder))));
    }
    users.extend(mounts(&nodes));
    users.extend(swaps(&nodes));
    users.extend(processes(&nodes));
    Ok(users)
}

/// The device numbers of the disk and of its partitions, with their names.
fn nodes(device: &Path) -> Result<BTreeMap<u64, String>> {
    let metadata = fs::metadata(device).map_err(|e| Error::io("inspect", device, e))?;
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    let disk = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))
        .map_err(|e| Error::io("inspect", device, e))?;
    let mut nodes = BTreeMap::from([(metadata.rdev(), text(&disk))]);
    for partition in entries(&disk) {
        if let Some(number) = fs::read_to_string(partition.join("dev"))
            .ok()
            .and_then(|numbers| device_number(numbers.trim()))
        {
            nodes.insert(number, text(&partition));
        }
    }
    Ok(nodes)
}

fn mounts(nodes: &BTreeMap<u64, String>) -> Vec<User> {
    // a server in a mount namespace of its own does not see its users' mounts; init does
    let tables = ["/proc/self/mountinfo", "/proc/1/mountinfo"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let mut mounts = Vec::new();
    for line in tables.iter().flat_map(|table| table.lines()) {
        // id parent major:minor root mount-point options [optional..] - type source options
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(numbers), Some(point)) = (fields.get(2), fields.get(4)) else {
            continue;
        };
        let source = fields
            .iter()
            .position(|field| *field == "-")
            .and_then(|dash| fields.get(dash + 2));
        // btrfs mounts under a number of its own: there the source tells
        let known = device_number(numbers).is_some_and(|number| nodes.contains_key(&number))
            || source.is_some_and(|source| is_node(Path::new(&unescape(source)), nodes));
        if known {
            let user = User::Mount(PathBuf::from(unescape(point)));
            if !mounts.contains(&user) {
                mounts.push(user);
            }
        }
    }
    mounts
}

fn swaps(nodes: &BTreeMap<u64, String>) -> Option<User> {
    let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .any(|path| is_node(Path::new(&unescape(path)), nodes))
        .then_some(User::Swap)
}

fn processes(nodes: &BTreeMap<u64, String>) -> Vec<User> {
    let own = std::process::id();
    let mut users = Vec::new();
    for process in entries(Path::new("/proc")) {
        let Ok(pid) = text(&process).parse::<u32>() else {
            continue;
        };
        if pid != own && entries(&process.join("fd")).any(|file| is_node(&file, nodes)) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            users.push(User::Process {
                pid,
                name: name.trim().to_owned(),
            });
        }
    }
    users
}

fn is_node(path: &Path, nodes: &BTreeMap<u64, String>) -> bool {
    fs::metadata(path)
        .is_ok_and(|found| found.file_type().is_block_device() && nodes.contains_key(&found.rdev()))
}

/// The entries of a directory that is there and may be read.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    found.map(|entry| entry.path())
}

fn text(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// `major:minor` as the one number that file metadata carry.
fn device_number(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

/// Undoes the `\ooo` by which the kernel writes blanks in its tables.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest
            .get(1..4)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_escapes_are_undone() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
        assert_eq!(unescape(r"/mnt/a\9"), r"/mnt/a\9");
        assert_eq!(unescape(r"\04"), r"\04");
    }

    #[test]
    fn device_numbers_are_parsed() {
        assert_eq!(device_number("8:1"), Some(rustix::fs::makedev(8, 1)));
        assert_eq!(device_number("8"), None);
    }
}

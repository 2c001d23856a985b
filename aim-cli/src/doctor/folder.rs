//! Folders, and the file systems that they are on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

use super::finding::Section;
use crate::config::Size;
use crate::host::existing;

/// Sealed files for which there must be room, here and on the target, and for which there should be.
pub(super) const FILES_LEAST: u64 = 4;
pub(super) const FILES_ENOUGH: u64 = 32;

/// What is known of the file system that a folder is on, or will be.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Whether the folder itself is there.
    pub(super) exists: bool,
    /// The name of the file system.
    pub(super) file_system: &'static str,
    pub(super) kind: Kind,
    /// Bytes that may still be written.
    pub(super) free_bytes: u64,
    pub(super) is_read_only: bool,
}

/// The kinds of file systems that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Gone after a restart of the machine.
    Memory,
    /// On another machine.
    Network,
    /// Any other.
    Disk,
}

/// By the number in `statfs`. FUSE may be anything; others than these are taken for disks.
const FILE_SYSTEMS: [(u64, &str, Kind); 13] = [
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
    (0x6969, "nfs", Kind::Network),
    (0xfe53_4d42, "smb2", Kind::Network),
    (0xff53_4d42, "cifs", Kind::Network),
    (0x0102_1997, "9p", Kind::Network),
    (0x00c3_6400, "ceph", Kind::Network),
    (0x6573_5546, "fuse", Kind::Network),
    (0xef53, "ext4", Kind::Disk),
    (0x5846_5342, "xfs", Kind::Disk),
    (0x9123_683e, "btrfs", Kind::Disk),
    (0x2fc1_2fc1, "zfs", Kind::Disk),
    (0x794c_7630, "overlay", Kind::Disk),
];

impl Folder {
    /// Looks at the folder, or at the nearest one above it that is there.
    pub(super) fn look(path: &Path) -> std::io::Result<Self> {
        let there = existing(path).unwrap_or_else(|| Path::new("/"));
        let magic = rustix::fs::statfs(there)?.f_type.cast_unsigned();
        let facts = rustix::fs::statvfs(there)?;
        let known = FILE_SYSTEMS.iter().find(|(number, ..)| *number == magic);
        let unknown = (magic, "a file system", Kind::Disk);
        let (_, file_system, kind) = *known.unwrap_or(&unknown);
        Ok(Self {
            path: path.to_owned(),
            exists: path.is_dir(),
            file_system,
            kind,
            free_bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
            is_read_only: facts.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    /// Judges a folder whose content has to survive a power cut.
    pub(super) fn judge_durable(&self, section: &mut Section, check: &'static str) {
        let shown = self.path.display();
        if self.is_read_only {
            section.problem(
                check,
                format!("{shown} is on a file system that is mounted read-only"),
                "mount it writable, or look in the kernel's log why it became read-only",
            );
            return;
        }
        match self.kind {
            Kind::Memory => section.problem(
                check,
                format!("{shown} is on {}: a power cut takes it", self.file_system),
                "put it on a disk",
            ),
            Kind::Network => section.warn(
                check,
                format!(
                    "{shown} is on {}, which may be another machine",
                    self.file_system
                ),
                "put it on a disk of this host: it has to be there when the network is not",
            ),
            Kind::Disk => section.ok(check, format!("{shown} is on {}", self.file_system)),
        };
    }

    /// Judges the room, of which at least `least` bytes are needed, and `enough` would be good.
    pub(super) fn judge_room(
        &self,
        section: &mut Section,
        check: &'static str,
        (least, enough): (u64, u64),
        what_for: &str,
    ) {
        let free = self.free_bytes;
        judge_room(section, check, free, (least, enough), what_for);
    }

    /// The median time in which 4 KiB become durable; `None` where that can't be tried.
    pub(super) fn sync_time(&self) -> Option<Duration> {
        const TRIES: u64 = 5;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // without a name, so nothing is left over
        let file = rustix::fs::open(&self.path, flags, Mode::RUSR | Mode::WUSR).ok()?;
        let mut times = Vec::new();
        for index in 0..TRIES {
            let start = Instant::now();
            rustix::io::pwrite(&file, &[1; 4096], index * 4096).ok()?;
            rustix::fs::fdatasync(&file).ok()?;
            times.push(start.elapsed());
        }
        times.sort();
        times.get(times.len() / 2).copied()
    }
}

/// Judges room by how much is free.
pub(super) fn judge_room(
    section: &mut Section,
    check: &'static str,
    free: u64,
    (least, enough): (u64, u64),
    what_for: &str,
) {
    let what = format!("{} are free", Size(free));
    let remedy = "make room, or use a larger file system";
    let finding = if free < least {
        let what = format!("{what}, {what_for} needs {}", Size(least));
        section.problem(check, what, remedy)
    } else if free < enough {
        let what = format!("{what}, {what_for} has to spare from {} on", Size(enough));
        section.warn(check, what, remedy)
    } else {
        section.ok(check, what)
    };
    finding.figure("free_bytes", free);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn folder(kind: Kind) -> Folder {
        Folder {
            path: "/somewhere".into(),
            exists: true,
            file_system: "it",
            kind,
            free_bytes: 500,
            is_read_only: false,
        }
    }

    fn verdict(judge: impl FnOnce(&mut Section)) -> Verdict {
        let mut section = Section::new("host");
        judge(&mut section);
        section.findings[0].verdict
    }

    #[test]
    fn what_must_survive_is_not_kept_in_memory() {
        let durable = |folder: &Folder| verdict(|section| folder.judge_durable(section, "x"));
        assert_eq!(durable(&folder(Kind::Disk)), Verdict::Ok);
        assert_eq!(durable(&folder(Kind::Network)), Verdict::Warning);
        assert_eq!(durable(&folder(Kind::Memory)), Verdict::Problem);
        let read_only = Folder {
            is_read_only: true,
            ..folder(Kind::Disk)
        };
        assert_eq!(durable(&read_only), Verdict::Problem);
        // where POSIX shared memory lives
        assert_eq!(
            Folder::look(Path::new("/dev/shm")).unwrap().kind,
            Kind::Memory
        );
    }

    #[test]
    fn room_is_measured_against_what_is_needed() {
        let room = |needed| verdict(|s| folder(Kind::Disk).judge_room(s, "x", needed, "it"));
        assert_eq!(room((100, 400)), Verdict::Ok);
        assert_eq!(room((100, 600)), Verdict::Warning);
        assert_eq!(room((501, 600)), Verdict::Problem);
    }

    #[test]
    fn a_folder_that_is_missing_is_judged_by_the_one_above() {
        let temp = tempfile::tempdir().unwrap();
        let missing = Folder::look(&temp.path().join("a/b")).unwrap();
        let above = Folder::look(temp.path()).unwrap();
        assert!(!missing.exists && above.exists);
        assert_eq!(missing.kind, above.kind);
        assert!(above.sync_time().is_some());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

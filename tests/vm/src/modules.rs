//! Picking, out of a kernel's thousands of modules, those that a guest needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output_of;
use crate::error::{Doing, VmError};

/// What the first file system inserts so that it can reach the host's root and the disks.
pub(crate) const BOOT: &[&str] = &["9p", "9pnet_virtio", "overlay", "virtio_blk", "virtio_net"];

/// What a test may ask for with modprobe. A name that a kernel does not have is left out.
pub(crate) const WANTED: &[&str] = &[
    "ublk_drv",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "loop",
    "brd",
    "zram",
    "null_blk",
    "nbd",
    "scsi_debug",
    "dm-mod",
    "dm-delay",
    "dm-flakey",
    "dm-log-writes",
    "dm-snapshot",
    "dm-thin-pool",
    "dm-zero",
    "drbd",
    "raid1",
    "sch_netem",
    "sch_tbf",
    "veth",
    "configfs",
    "fuse",
    "crc32c_generic",
    "crc32c-intel",
    "crc32c-cryptoapi",
    "sha256_generic",
    "virtio_rng",
];

/// Copies modules of one kernel, with all that they depend on, into a small tree.
#[derive(Debug)]
pub(crate) struct Picker {
    files: BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    source: PathBuf,
    target: PathBuf,
    order: Vec<PathBuf>,
}

impl Picker {
    /// From `source`, a folder `.../modules/RELEASE`, into `target`, another such folder.
    pub(crate) fn new(source: PathBuf, target: PathBuf) -> Result<Self, VmError> {
        let mut files = BTreeMap::new();
        walk(&source, &mut |path| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if let Some((name, _)) = name.as_deref().and_then(|name| name.split_once(".ko")) {
                files.insert(canonical(name), path);
            }
        })?;
        fs::create_dir_all(&target).doing("create", &target)?;
        for list in [
            "modules.order",
            "modules.builtin",
            "modules.builtin.modinfo",
        ] {
            let from = source.join(list);
            fs::copy(&from, target.join(list)).doing("copy", from)?;
        }
        Ok(Self {
            files,
            seen: BTreeSet::new(),
            source,
            target,
            order: Vec::new(),
        })
    }

    /// Picks `name`, dependencies first; a name that is built in or unknown picks nothing.
    pub(crate) fn pick(&mut self, name: &str) -> Result<(), VmError> {
        let name = canonical(name);
        let Some(file) = self.files.get(&name).cloned() else {
            return Ok(());
        };
        if !self.seen.insert(name) {
            return Ok(());
        }
        let module = unpacked(&file)?;
        for dependency in dependencies_of(&module) {
            self.pick(&dependency)?;
        }
        let inside = file.strip_prefix(&self.source).unwrap_or(&file);
        let target = self
            .target
            .join(inside.with_extension(""))
            .with_extension("ko");
        let folder = target.parent().unwrap_or(&self.target);
        fs::create_dir_all(folder).doing("create", folder)?;
        fs::write(&target, module).doing("write", &target)?;
        // Without type data, debug data and signature a module loads several times faster under
        // emulation.
        let strip = ["--strip-debug", "-R", ".BTF", "-R", ".BTF.base"];
        output_of(Command::new("objcopy").args(strip).arg(&target))?;
        self.order.push(target);
        Ok(())
    }

    /// What has been picked so far, in the order in which it can be inserted.
    pub(crate) fn order(&self) -> &[PathBuf] {
        &self.order
    }
}

/// A module's name with the one spelling that the kernel compares by.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn unpacked(file: &Path) -> Result<Vec<u8>, VmError> {
    let program = match file.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(file).doing("read", file),
    };
    output_of(Command::new(program).arg("-dc").arg(file))
}

/// The `depends=` entry of a module's information section: strings that each end with a zero byte.
fn dependencies_of(module: &[u8]) -> Vec<String> {
    let mut entries = module.split(|byte| *byte == 0);
    let list = entries.find_map(|entry| entry.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(list.unwrap_or_default());
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Calls `see` with each file below `folder`.
pub(crate) fn walk(folder: &Path, see: &mut impl FnMut(PathBuf)) -> Result<(), VmError> {
    for entry in fs::read_dir(folder).doing("list", folder)? {
        let entry = entry.doing("list", folder)?;
        match entry.file_type().doing("look at", entry.path())? {
            kind if kind.is_dir() => walk(&entry.path(), see)?,
            kind if kind.is_file() => see(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_between_zero_bytes() {
        let module = b"\x7fELF..\0license=GPL\0depends=a-b,c\0name=x\0";
        assert_eq!(dependencies_of(module), ["a-b", "c"]);
        assert_eq!(dependencies_of(b"\0depends=\0"), [""; 0]);
    }
}

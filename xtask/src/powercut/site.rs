//! What the two machines find on this host: disks, keys, configuration, and each other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use aim_vm::cache_folder;
use tempfile::TempDir;

use crate::keys::make_keys;
use crate::outcome::Result;

/// The addresses of source and mirror.
pub(super) const ADDRESSES: [&str; 2] = ["10.7.0.1/24", "10.7.0.2/24"];
/// The mirrored disk: a file system, and behind it a part without one. Bytes.
const DISK: u64 = 64 << 20;
/// Where the part without a file system starts, bytes.
pub(super) const RAW_OFFSET: u64 = 48 << 20;
/// The disk for journal files on either side, bytes.
const SPOOL: u64 = 256 << 20;

/// The folder of a pair; removed when this is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Site {
    folder: TempDir,
}

impl Site {
    /// Makes everything: a source with a file system, a mirror that is its copy, two empty
    /// journals.
    pub(super) fn create() -> Result<Self> {
        let parent = cache_folder().join("powercut");
        fs::create_dir_all(&parent)?;
        let folder = tempfile::Builder::new()
            .prefix("pair-")
            .tempdir_in(parent)?;
        let site = Self { folder };
        let path = site.path();
        for (name, bytes) in [("source", DISK), ("mirror", DISK)] {
            File::create(site.disk(name))?.set_len(bytes)?;
            File::create(site.spool(name))?.set_len(SPOOL)?;
            mkfs(&site.spool(name), SPOOL)?;
        }
        mkfs(&site.disk("source"), RAW_OFFSET)?;
        fs::copy(site.disk("source"), site.disk("mirror"))?;
        let mirror = ADDRESSES[1].trim_end_matches("/24");
        make_keys(path, mirror)?;
        fs::write(path.join("source.toml"), source_config(path, mirror))?;
        fs::write(path.join("mirror.toml"), MIRROR_CONFIG)?;
        Ok(site)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The image of a machine's mirrored disk.
    pub(super) fn disk(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.img"))
    }

    /// The image of the disk for its journal files.
    pub(super) fn spool(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}-journal.img"))
    }

    /// Keeps the folder under a name by which its round is known, and says where.
    pub(super) fn keep(self, name: &str) -> Result<PathBuf> {
        let kept = self.folder.keep();
        let named = kept.with_file_name(name);
        if named.exists() {
            fs::remove_dir_all(&named)?;
        }
        fs::rename(kept, &named)?;
        Ok(named)
    }
}

const MIRROR_CONFIG: &str = "\
[mirror.data]
device = \"/dev/vda\"
directory = \"/srv/aim/data\"
";

fn source_config(path: &Path, mirror: &str) -> String {
    let path = path.display();
    format!(
        "[volume.data]\n\
         device = \"/dev/vda\"\n\
         journal = \"/var/lib/aim/data\"\n\
         target = \"ssh://root@{mirror}/srv/aim/data\"\n\
         key = \"{path}/user_key\"\n\
         known_hosts = \"{path}/known_hosts\"\n\
         queues = 2\n\
         seal_bytes = \"1MiB\"\n\
         seal_after = \"200ms\"\n"
    )
}

fn mkfs(image: &Path, bytes: u64) -> Result<()> {
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
        .arg(image)
        .arg(format!("{}k", bytes >> 10))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

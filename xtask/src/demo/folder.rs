//! What the two machines of the demo find when they start: disks, keys, configuration.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use aim_vm::cache_folder;
use tempfile::TempDir;

use crate::cargo::workspace;
use crate::keys::make_keys;
use crate::outcome::Result;

/// Size of the mirrored disk, bytes.
const DISK_BYTES: u64 = 192 << 20;

/// The addresses of source and mirror on their private network.
pub(crate) const ADDRESSES: [&str; 2] = ["10.7.0.1/24", "10.7.0.2/24"];

/// The folder of one run of the demo; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    root: TempDir,
    files: usize,
}

impl Folder {
    /// Makes disks, keys, configurations and the list of files to store.
    pub(crate) fn create() -> Result<Self> {
        let parent = cache_folder();
        fs::create_dir_all(&parent)?;
        let root = tempfile::Builder::new()
            .prefix("demo-")
            .tempdir_in(parent)?;
        let path = root.path();
        for disk in ["source.img", "mirror.img"] {
            File::create(path.join(disk))?.set_len(DISK_BYTES)?;
        }
        let mirror = ADDRESSES[1].trim_end_matches("/24");
        make_keys(path, mirror)?;
        fs::write(path.join("source.toml"), source_config(path, mirror))?;
        fs::write(path.join("mirror.toml"), MIRROR_CONFIG)?;
        let files = store_tree(path)?;
        Ok(Self { root, files })
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn source_disk(&self) -> PathBuf {
        self.path().join("source.img")
    }

    pub(crate) fn mirror_disk(&self) -> PathBuf {
        self.path().join("mirror.img")
    }

    /// The files that the source is to store.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path().join("tree")
    }

    /// How many there are.
    pub(crate) fn files(&self) -> usize {
        self.files
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
         known_hosts = \"{path}/known_hosts\"\n"
    )
}

/// Copies the project's own sources to `tree` and their checksums to `manifest`, as `sha256sum`
/// reads them. Returns how many files there are.
fn store_tree(path: &Path) -> Result<usize> {
    let tree = path.join("tree");
    for part in ["aim-core", "aim-ublk", "aim-remote", "aim-cli", "docs"] {
        copy(&workspace().join(part), &tree.join(part))?;
    }
    let listed = Command::new("sh")
        .args([
            "-c",
            "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum",
        ])
        .current_dir(&tree)
        .output()?;
    if !listed.status.success() {
        return Err(format!("sha256sum of {}: {}", tree.display(), listed.status).into());
    }
    fs::write(path.join("manifest"), &listed.stdout)?;
    Ok(listed.stdout.iter().filter(|byte| **byte == b'\n').count())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

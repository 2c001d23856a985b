//! Stock Debian kernels, fetched once and distilled to what a guest needs.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::apt::{Apt, SUITES, Version};
use crate::command::output_of;
use crate::error::{Doing, VmError};
use crate::image::{STAGE1, extract_kernel, initramfs};
use crate::modules::{BOOT, Picker, WANTED, walk};

const METAPACKAGE: &str = "linux-image-amd64";

/// A kernel that the tests run on, by the version that its Debian suite carries.
///
/// If the suite has moved on to another version, its newest is taken and the words say which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// `7.3`, of trixie-backports: every ublk feature that AIM can use.
    #[default]
    New,
    /// `6.12`, of trixie: the oldest that AIM supports.
    Old,
}

impl Kernel {
    /// All of them, newest first.
    pub const ALL: [Self; 2] = [Self::New, Self::Old];

    /// Its version as people type it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::New => "7.3",
            Self::Old => "6.12",
        }
    }

    /// Fetches it unless it is in `cache` already; `say` is told of long steps.
    ///
    /// Safe to call from several processes at once: one fetches, the others wait.
    ///
    /// # Errors
    ///
    /// Any [`VmError`]: no archive, no network, a program missing, a package of unknown form.
    pub fn image(self, cache: &Path, say: impl Fn(&str)) -> Result<KernelImage, VmError> {
        fs::create_dir_all(cache).doing("create", cache)?;
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).doing("create", &lock_path)?;
        lock.lock().doing("lock", &lock_path)?;
        let image = KernelImage {
            folder: cache.join(self.tag()),
        };
        // Present only once the image is whole; names what it was made of.
        let recipe_path = image.folder.join("recipe");
        if fs::read_to_string(&recipe_path).ok().as_deref() != Some(&recipe()) {
            self.fetch(cache, &image, say)?;
            fs::write(&recipe_path, recipe()).doing("write", &recipe_path)?;
        }
        Ok(image)
    }

    fn fetch(self, cache: &Path, image: &KernelImage, say: impl Fn(&str)) -> Result<(), VmError> {
        say(&format!("kernel {self}: looking for Debian's newest"));
        let apt = Apt::update(&cache.join("apt"))?;
        let version = self.choose(&apt.versions(METAPACKAGE)?)?;
        let depends = apt.dependencies(&format!("{METAPACKAGE}={}", version.number))?;
        let package = depends
            .into_iter()
            .find(|name| name.starts_with("linux-image-"));
        let package = package.ok_or_else(|| no_kernel(METAPACKAGE))?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        say(&format!(
            "kernel {self}: fetching {package} from {}",
            version.suite
        ));
        // Newer kernels are split into several packages of the same release.
        let mut packages = apt.dependencies(&package)?;
        packages.retain(|name| name.starts_with("linux-") && name.ends_with(&release));
        packages.push(package);
        let unpacked = cache.join(format!("unpacked-{self}"));
        for stale in [&unpacked, &image.folder] {
            if stale.exists() {
                fs::remove_dir_all(stale).doing("remove", stale)?;
            }
        }
        apt.unpack(&packages, &unpacked)?;
        say(&format!("kernel {self}: picking modules of {release}"));
        distil(&unpacked, &release, image)?;
        fs::remove_dir_all(&unpacked).doing("remove", &unpacked)
    }

    /// The newest of this kernel's version, else the newest of its suite.
    fn choose(self, versions: &[Version]) -> Result<Version, VmError> {
        let prefix = format!("{}.", self.tag());
        let suite = match self {
            Self::New => "trixie-backports",
            Self::Old => "trixie",
        };
        let tagged = versions
            .iter()
            .find(|version| version.number.starts_with(&prefix));
        let newest = || versions.iter().find(|version| version.suite == suite);
        tagged
            .or_else(newest)
            .cloned()
            .ok_or_else(|| no_kernel(METAPACKAGE))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl FromStr for Kernel {
    type Err = VmError;

    fn from_str(word: &str) -> Result<Self, VmError> {
        Self::ALL
            .into_iter()
            .find(|kernel| kernel.tag() == word)
            .ok_or_else(|| VmError::Word {
                value: word.to_owned(),
                expected: "a kernel: 7.3 or 6.12",
            })
    }
}

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub struct KernelImage {
    folder: PathBuf,
}

impl KernelImage {
    /// The folder it lies in, which other facts about it may be kept in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    pub(crate) fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    /// The kernel's release, such as `6.12.57+deb13-amd64`.
    ///
    /// # Errors
    ///
    /// [`VmError::Io`] if its folder can't be read.
    pub fn release(&self) -> Result<String, VmError> {
        let modules = self.modules();
        let mut entries = fs::read_dir(&modules).doing("list", &modules)?;
        let entry = entries.next().transpose().doing("list", &modules)?;
        let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(name.unwrap_or_default())
    }

    /// The folder `.../lib/modules`, with one folder by the kernel's release in it.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("modules/lib/modules")
    }
}

/// Where kernels are kept: `AIM_VM_CACHE`, else `vm-cache` in the build folder of this workspace.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let kept = env::var_os("AIM_VM_CACHE").map(PathBuf::from);
    kept.unwrap_or_else(|| {
        let built = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let workspace = workspace.canonicalize().unwrap_or(workspace);
        built
            .unwrap_or_else(|| workspace.join("target"))
            .join("vm-cache")
    })
}

/// Everything of this crate that goes into an image: another recipe makes another image.
fn recipe() -> String {
    format!("{}\n{}\n{STAGE1}", BOOT.join(" "), WANTED.join(" "))
}

fn distil(unpacked: &Path, release: &str, image: &KernelImage) -> Result<(), VmError> {
    let mut kernel = None;
    let mut order = None;
    walk(unpacked, &mut |path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "vmlinuz" || name == format!("vmlinuz-{release}") {
            kernel = Some(path);
        } else if name == "modules.order" {
            order = path.parent().map(Path::to_owned);
        }
    })?;
    let missing = |what| VmError::Image {
        path: unpacked.to_owned(),
        what,
    };
    let kernel = kernel.ok_or_else(|| missing("the packages hold no kernel"))?;
    let source = order.ok_or_else(|| missing("the packages hold no modules"))?;

    let mut picker = Picker::new(source, image.modules().join(release))?;
    for module in BOOT {
        picker.pick(module)?;
    }
    let boot = picker.order().to_vec();
    for module in WANTED {
        picker.pick(module)?;
    }
    let tree = image.folder.join("modules");
    output_of(
        Command::new("busybox")
            .args(["depmod", "-b"])
            .arg(tree)
            .arg(release),
    )?;
    let write = |path: PathBuf, bytes: Vec<u8>| fs::write(&path, bytes).doing("write", &path);
    write(image.vmlinux(), extract_kernel(&kernel)?)?;
    write(image.initramfs(), initramfs(&boot)?)
}

fn no_kernel(package: &str) -> VmError {
    VmError::NoKernel {
        package: package.to_owned(),
        suites: SUITES.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: &str, suite: &str) -> Version {
        Version {
            number: number.to_owned(),
            suite: suite.to_owned(),
        }
    }

    #[test]
    fn the_newest_of_the_tag_is_chosen_else_of_the_suite() {
        let versions = [
            version("7.4.1-1", "trixie-backports"),
            version("6.12.9-1", "trixie-security"),
            version("6.12.7-1", "trixie"),
        ];
        assert_eq!(
            Kernel::New.choose(&versions).expect("one").number,
            "7.4.1-1"
        );
        assert_eq!(
            Kernel::Old.choose(&versions).expect("one").number,
            "6.12.9-1"
        );
        assert!(Kernel::New.choose(&versions[1..]).is_err());
    }
}

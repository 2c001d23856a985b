//! The Debian packages that building and testing need: the one list of them.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::output_of;
use crate::error::VmError;

/// A Debian package and a program by which it is known on other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Debian's name of it.
    pub name: &'static str,
    /// A program in it; `None` for a library.
    pub program: Option<&'static str>,
}

/// What `cargo xtask` installs where it is missing.
pub const PACKAGES: &[Package] = &[
    // to build
    library("libclang-dev"), // libublk's bindings are generated at build time
    tool("g++", "g++"),      // libFuzzer is C++
    // to boot a guest
    tool("qemu-system-x86", "qemu-system-x86_64"),
    tool("busybox-static", "busybox"),
    tool("binutils", "objcopy"),
    tool("xz-utils", "xz"),
    tool("zstd", "zstd"),
    // what the tests and the demo put on a volume
    tool("btrfs-progs", "mkfs.btrfs"),
    tool("drbd-utils", "drbdsetup"), // beside which `bench disks` measures
    tool("e2fsprogs", "mkfs.ext4"),
    tool("fdisk", "sfdisk"),
    tool("fio", "fio"),
    tool("lvm2", "lvm"),
    tool("openssh-client", "ssh-keygen"),
    tool("openssh-server", "sshd"),
    tool("python3-venv", "python3"), // for moto
    tool("rsync", "rsync"),
    tool("sqlite3", "sqlite3"),
    tool("xfsprogs", "mkfs.xfs"),
];

const fn tool(name: &'static str, program: &'static str) -> Package {
    Package {
        name,
        program: Some(program),
    }
}

const fn library(name: &'static str) -> Package {
    Package {
        name,
        program: None,
    }
}

/// The packages of [`PACKAGES`] that this machine lacks.
///
/// Asks dpkg where there is one; elsewhere looks for the programs, and can say nothing of libraries.
#[must_use]
pub fn missing_packages() -> Vec<Package> {
    let debian = Path::new("/var/lib/dpkg/status").exists();
    let lacks = |package: &Package| match (debian, package.program) {
        (true, _) => !installed(package.name),
        (false, Some(program)) => !in_path(program),
        (false, None) => false,
    };
    PACKAGES.iter().copied().filter(lacks).collect()
}

/// Installs what [`missing_packages`] names, with apt-get; `say` is told what is being done.
///
/// # Errors
///
/// [`VmError::Packages`] with the names and the command to type, if this process is not root or the
/// system has no apt-get.
pub fn install_packages(say: impl Fn(&str)) -> Result<(), VmError> {
    let missing: Vec<String> = missing_packages()
        .iter()
        .map(|p| p.name.to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() || !in_path("apt-get") {
        let command = format!(
            "apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
        return Err(VmError::Packages { missing, command });
    }
    say(&format!("installing packages: {}", missing.join(" ")));
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-qq")
            .args(words);
        command
    };
    output_of(&mut apt(&["update"]))?;
    let words = ["install", "-y", "--no-install-recommends"];
    output_of(apt(&words).args(&missing))?;
    Ok(())
}

/// True if dpkg has `package` installed, whatever else it knows of it.
fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// True if a folder of PATH, or one where system programs are kept, holds `program`.
fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    env::split_paths(&path)
        .chain(system)
        .any(|folder| folder.join(program).exists())
}

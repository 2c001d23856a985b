//! What has to be on the machine before anything else.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aim_vm::{Kernel, KernelImage, cache_folder, install_packages};

use crate::cargo::workspace;
use crate::outcome::Result;
use crate::progress::{detail, step};

/// The object store that tests start beside one that is built with them.
const MOTO: &str = "5.2.5";

/// Installs what is missing, or fails with the command that would.
pub(crate) fn packages() -> Result<()> {
    Ok(install_packages(step)?)
}

/// Installs besides what only the tests need.
pub(crate) fn test_packages() -> Result<()> {
    packages()?;
    moto(&build_folder().join("moto-venv"))
}

/// Where the tests of aim-remote look for moto: beside what is built of them.
fn build_folder() -> PathBuf {
    let given = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| workspace().join("target"))
}

/// Installs moto into a Python environment of its own.
fn moto(venv: &Path) -> Result<()> {
    let python = venv.join("bin/python");
    let is_there = format!("import moto.server; assert moto.__version__ == '{MOTO}'");
    let check = |python: &Path| {
        let mut check = Command::new(python);
        let status = check.args(["-c", &is_there]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if check(&python) {
        return Ok(());
    }
    step(&format!("installing moto {MOTO} into {}", venv.display()));
    let mut make = Command::new("python3");
    run(make.args(["-m", "venv", "--clear"]).arg(venv))?;
    let package = format!("moto[server]=={MOTO}");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]))?;
    match check(&python) {
        true => Ok(()),
        false => Err(format!("moto {MOTO} was installed, and does not start").into()),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status();
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {status}").into()),
    }
}

/// Fetches `kernel` if it is not there yet.
pub(crate) fn kernel(kernel: Kernel) -> Result<KernelImage> {
    Ok(kernel.image(&cache_folder(), detail)?)
}

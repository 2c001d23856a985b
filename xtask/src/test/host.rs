//! The tests that need ublk, on this machine's own kernel: as root, on loop devices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use aim_vm::cache_folder;

use crate::cargo::stream;
use crate::outcome::Result;
use crate::test::guest::{DISKS, DISKS_VARIABLE, PROGRAM_VARIABLE, Programs};
use crate::test::tally::Counter;

/// Runs the tests; true if they passed. No ublk, or not being root, is an error.
pub(crate) fn run(programs: &Programs, filter: Option<&str>, counter: Counter) -> Result<bool> {
    // Fails where it is built in or there already; what counts is the device.
    let _ = Command::new("modprobe").arg("ublk_drv").status();
    let control = Path::new("/dev/ublk-control");
    File::options()
        .read(true)
        .write(true)
        .open(control)
        .map_err(|error| {
            format!(
                "--host needs ublk and root: cannot open {}: {error}",
                control.display()
            )
        })?;
    let folder = cache_folder().join("host-disks");
    fs::create_dir_all(&folder)?;
    let mut disks = Vec::new();
    for (place, bytes) in DISKS.into_iter().enumerate() {
        disks.push(LoopDevice::new(
            folder.join(format!("disk{place}.raw")),
            bytes,
        )?);
    }
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let words = programs.command(filter);
    let mut tests = Command::new(&words[0]);
    tests.args(&words[1..]).env(DISKS_VARIABLE, names.join(" "));
    tests.env(PROGRAM_VARIABLE, &programs.aim);
    Ok(stream(&mut tests, counter)?.success())
}

/// A file as a disk, for as long as this lives.
#[derive(Debug)]
struct LoopDevice {
    name: String,
    file: PathBuf,
}

impl LoopDevice {
    fn new(file: PathBuf, bytes: u64) -> Result<Self> {
        File::create(&file)?.set_len(bytes)?;
        let words = ["--find", "--show", "--direct-io=on"];
        let output = Command::new("losetup").args(words).arg(&file).output()?;
        if !output.status.success() {
            return Err(format!("losetup: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let name = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(Self { name, file })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // What is left after a failure, losetup lists; there is nobody to tell here.
        let _ = Command::new("losetup")
            .args(["--detach", &self.name])
            .status();
        let _ = fs::remove_file(&self.file);
    }
}

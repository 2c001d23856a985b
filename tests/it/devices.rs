//! One behaviour suite on every disk there is.

use std::path::Path;
use std::process::Command;

use aim_core::device::{FileDevice, MemDevice, OpenDeviceError};
use aim_tests::device_suite::{SIZE_MIN, assert_behaves};
use aim_tests::{Power, VolatileDevice};

#[test]
fn memory() {
    for block_size in [512, 1024, 4096] {
        assert_behaves(&MemDevice::new(SIZE_MIN, block_size));
    }
}

#[test]
fn volatile_memory() {
    for block_size in [512, 4096] {
        assert_behaves(&*VolatileDevice::new(
            SIZE_MIN,
            block_size,
            Power::steady(),
            7,
        ));
    }
}

/// And on a loop device over it, where there is one to be had; disks that are no files run the
/// suite in the guest in any case.
#[test]
fn plain_file() {
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    create_image(&image);
    assert_behaves(&FileDevice::open_exclusive(&image).unwrap());
    if let Some(attached) = LoopDevice::attach(&image) {
        let device = FileDevice::open_exclusive(&attached.0).unwrap();
        assert_behaves(&device);
        let second = FileDevice::open_exclusive(&attached.0);
        assert!(matches!(second, Err(OpenDeviceError::Busy { .. })));
    }
}

/// A tmpfs zeroes ranges only by punching holes: the way back to written zeroes is taken.
#[test]
fn plain_file_on_tmpfs() {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let image = temp.path().join("image");
    create_image(&image);
    assert_behaves(&FileDevice::open_exclusive(&image).unwrap());
}

fn create_image(path: &Path) {
    std::fs::write(path, vec![0x5a; SIZE_MIN.get() as usize]).unwrap();
}

/// A loop device, detached when dropped.
struct LoopDevice(String);

impl LoopDevice {
    fn attach(image: &Path) -> Option<Self> {
        let attached = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image)
            .output()
            .ok()?;
        let path = String::from_utf8(attached.stdout).ok()?;
        attached
            .status
            .success()
            .then(|| Self(path.trim().to_owned()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!("{} was not detached", self.0);
        }
    }
}

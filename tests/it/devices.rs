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

/// In a container, for example: batches of long writes go another way then.
#[test]
fn plain_file_without_io_uring() {
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    create_image(&image);
    std::thread::spawn(move || {
        forbid_io_uring();
        // SAFETY: without a ring to fill in it fails in any case.
        let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) };
        let error = std::io::Error::last_os_error();
        assert_eq!((made, error.raw_os_error()), (-1, Some(libc::EPERM)));
        assert_behaves(&FileDevice::open_exclusive(&image).unwrap());
    })
    .join()
    .unwrap();
}

/// For this thread, and for good: making a ring fails as where the administrator does not allow it.
fn forbid_io_uring() {
    // load the number of the call; if it is that one, fail; else go on
    let filter = [
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        (
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        (
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        (libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let mut filter = filter.map(|(code, jt, jf, k)| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    });
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program lives while the calls last; they change only what this thread may do.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
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

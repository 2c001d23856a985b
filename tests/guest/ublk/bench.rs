//! What the tests have in common: a disk, its mirror, a device between, and commands.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use aim_core::device::{BlockDevice, FileDevice, MemDevice};
use aim_core::intercept::Interceptor;
use aim_core::units::ByteLen;
use aim_tests::witness::{Record, Temper, Witness};
use aim_ublk::{DeviceConfig, RunningDevice, UblkDevice};
use tempfile::TempDir;

use crate::machine::shell;

/// Megabytes as bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// An interceptor that refuses nothing and has memory in plenty.
pub(crate) const EVEN: Temper = Temper {
    slots: 0,
    payload: 0,
    refuse_every: 0,
    drain_pause: Duration::ZERO,
};

/// A device on an image file, captured onto another.
pub(crate) struct Bench {
    pub(crate) device: RunningDevice,
    pub(crate) witness: Arc<Witness>,
    pub(crate) disk: PathBuf,
    pub(crate) mirror: PathBuf,
    _directory: TempDir,
}

/// A folder in memory, where images are sparse.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/run").unwrap()
}

/// A sparse image file.
pub(crate) fn image(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

/// A configuration with a name of its own: the tests run side by side.
pub(crate) fn config(disk: &Path) -> DeviceConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static DRIVER: Once = Once::new();
    DRIVER.call_once(|| drop(shell("modprobe ublk_drv")));
    let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    DeviceConfig {
        queues: 2,
        depth: 32,
        ..DeviceConfig::new(name, disk)
    }
}

/// A witness for a device of that configuration, with an image file as the mirror.
pub(crate) fn witness(config: &DeviceConfig, mirror: &Path, temper: Temper) -> Arc<Witness> {
    witness_on(config, FileDevice::open_exclusive(mirror).unwrap(), temper)
}

/// A witness for a device of up to 1 MiB, whose mirror nobody looks at.
pub(crate) fn bystander(config: &DeviceConfig) -> Arc<Witness> {
    witness_on(config, MemDevice::new(ByteLen(MIB), 512), EVEN)
}

fn witness_on(config: &DeviceConfig, mirror: impl BlockDevice, temper: Temper) -> Arc<Witness> {
    let temper = Temper {
        // one more than the device can hold idle, so that there is always progress
        slots: temper.slots.max(config.landings() + 1),
        payload: config.max_request_bytes as usize,
        ..temper
    };
    Arc::new(Witness::new(mirror, temper).unwrap())
}

impl Bench {
    /// A device of `bytes` on an empty disk.
    pub(crate) fn new(bytes: u64, temper: Temper) -> Self {
        Self::with(bytes, temper, |_| {})
    }

    /// The same, configured otherwise.
    pub(crate) fn with(bytes: u64, temper: Temper, change: impl FnOnce(&mut DeviceConfig)) -> Self {
        let directory = directory();
        let (disk, mirror) = (
            directory.path().join("disk"),
            directory.path().join("mirror"),
        );
        image(&disk, bytes);
        image(&mirror, bytes);
        let mut config = config(&disk);
        change(&mut config);
        let witness = witness(&config, &mirror, temper);
        let interceptor = Arc::clone(&witness) as Arc<dyn Interceptor>;
        let device = UblkDevice::start(config, interceptor, 0).unwrap();
        Self {
            device,
            witness,
            disk,
            mirror,
            _directory: directory,
        }
    }

    /// Path of the device.
    pub(crate) fn path(&self) -> String {
        self.device.path().display().to_string()
    }

    /// Stops the device and sees that the mirror is the disk, byte by byte.
    pub(crate) fn finish(self) -> Vec<Record> {
        let path = self.path();
        self.device.stop().unwrap();
        self.device.wait().unwrap();
        assert!(!Path::new(&path).exists(), "{path} is still there");
        let witness = Arc::into_inner(self.witness).expect("the device let its witness go");
        let records = witness.finish().unwrap();
        assert_same(&self.disk, &self.mirror);
        records
    }
}

/// Runs a script of the shell that may fail.
pub(crate) fn try_run(command: &str) -> Output {
    let mut shell = Command::new("bash");
    shell.args(["-e", "-u", "-o", "pipefail", "-c", command]);
    shell.output().unwrap()
}

/// What a script of the shell, which must succeed, writes, trimmed.
#[track_caller]
pub(crate) fn output(script: &str) -> String {
    shell(script).trim().to_owned()
}

/// Sees that two files have the same bytes.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let len = one.metadata().unwrap().len();
    assert_eq!(len, other.metadata().unwrap().len());
    let (mut left, mut right) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    for offset in (0..len).step_by(left.len()) {
        let chunk = left.len().min((len - offset) as usize);
        one.read_exact_at(&mut left[..chunk], offset).unwrap();
        other.read_exact_at(&mut right[..chunk], offset).unwrap();
        if left[..chunk] != right[..chunk] {
            let at = left.iter().zip(&right).position(|(l, r)| l != r);
            panic!(
                "disk and mirror differ at byte {}",
                offset + at.unwrap() as u64
            );
        }
    }
}

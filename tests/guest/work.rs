//! Work on the device that goes on until the test has seen enough, and checks itself.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::machine::shell;
use crate::pair::MOUNT;

/// Says that the work may end.
const ENOUGH: &str = "/run/aim-work-is-enough";

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A job that is done over and over, in a process of its own.
#[derive(Debug)]
pub(crate) struct Work {
    child: Child,
    /// The kernel's name of the disk.
    disk: String,
    /// Lines in the kernel's log before.
    log: usize,
}

impl Work {
    /// Random writes to the raw device, many in flight at once, each read back.
    pub(crate) fn on_device(device: &str) -> Self {
        let job = format!(
            "--filename={device} --direct=1 --ioengine=libaio --iodepth=16 --bsrange=4k-64k --size=6M"
        );
        Self::start(device, &job)
    }

    /// Files on an ext4 that is made and mounted for it, with syncs between the writes.
    pub(crate) fn on_files(device: &str) -> Self {
        shell(&format!("mkfs.ext4 -q {device}; mount {device} {MOUNT}"));
        let job = format!("--directory={MOUNT} --nrfiles=4 --size=4M --bsrange=4k-64k --fsync=16");
        Self::start(device, &job)
    }

    fn start(device: &str, job: &str) -> Self {
        let _ = fs::remove_file(ENOUGH); // of another test
        let script = format!(
            "until [ -e {ENOUGH} ]; do
                 fio --minimal --output=/dev/null --name=work --rw=randwrite --verify=crc32c \
                     --do_verify=1 --verify_fatal=1 --randrepeat=0 {job} || exit 1
             done"
        );
        let child = Command::new("bash")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .expect("bash starts");
        let disk = Path::new(device).file_name().expect("a device");
        Self {
            child,
            disk: disk.to_str().expect("text").to_owned(),
            log: kernel_log().len(),
        }
    }

    /// Waits until so many more sectors have been written to the device.
    pub(crate) fn goes_on(&self, sectors: u64) {
        let goal = self.written() + sectors;
        while self.written() < goal {
            // not as fast as can be: the work needs the processors
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Sectors that were written to the device, completed ones only.
    fn written(&self) -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.disk)).expect("a disk");
        let field = stat.split_whitespace().nth(6).expect("seven fields");
        field.parse().expect("a number")
    }

    /// Ends it. It has found everything as it wrote it, and nobody has seen an I/O error.
    pub(crate) fn end(mut self) {
        fs::write(ENOUGH, "").expect("written");
        assert!(self.child.wait().expect("it ends").success());
        let complaints: Vec<String> = kernel_log()
            .into_iter()
            .skip(self.log)
            .filter(|line| {
                [
                    "I/O error",
                    "EXT4-fs error",
                    "EXT4-fs warning",
                    "Aborting journal",
                    "blocked for",
                ]
                .iter()
                .any(|words| line.contains(words))
            })
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        if mounted() {
            shell(&format!("umount {MOUNT}"));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // after a test that failed, so that it does not hold the device
        let _ = self.child.kill();
    }
}

fn mounted() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
    let options = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        (fields.next() == Some(MOUNT)).then(|| fields.nth(1).expect("options").to_owned())
    });
    if let Some(options) = &options {
        assert!(options.starts_with("rw"), "mounted {options}");
    }
    options.is_some()
}

fn kernel_log() -> Vec<String> {
    shell("dmesg").lines().map(str::to_owned).collect()
}

//! A device that a process of its own serves, which can be killed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use aim_core::intercept::{Admission, Interceptor, Landing, LandingWait, Outcome, Ticket, Wait};
use aim_core::request::Request;
use aim_core::units::Lsn;
use aim_ublk::{DeviceConfig, ReadPath, UblkDevice};

use super::bench::{EVEN, config, image, witness};
use crate::machine::shell;

/// Its path.
pub(crate) const DEVICE: &str = "/dev/aim/served";
/// Its node.
pub(crate) const NODE: &str = "/dev/ublkb88";
/// Its control file.
const CONTROL: &str = "/dev/ublkc88";
const NAME: &str = "served";

/// Tells a child process what to be: how, and in which folder.
const ROLE: &str = "AIM_TEST_SERVER";

/// How a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Two queues of 32 slots.
    Well,
    /// As well, with three threads for each queue and reads that are not copied.
    Directly,
    /// One queue of four slots: a client can take them all.
    Narrowly,
    /// It dies when it has opened the device, just before it fetches.
    Fatally,
}

impl How {
    const ALL: [(Self, &str); 4] = [
        (Self::Well, "well"),
        (Self::Directly, "directly"),
        (Self::Narrowly, "narrowly"),
        (Self::Fatally, "fatally"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(how, _)| *how == self).unwrap().1
    }
}

/// The disk, and what is captured of it.
#[derive(Debug)]
pub(crate) struct Served {
    folder: tempfile::TempDir,
}

impl Served {
    /// An empty disk of `bytes`; no device of an earlier test is left.
    pub(crate) fn new(bytes: u64) -> Self {
        shell("modprobe ublk_drv");
        UblkDevice::abandon(NAME).unwrap();
        let folder = super::bench::directory();
        for name in ["disk", "mirror"] {
            image(&folder.path().join(name), bytes);
        }
        Self { folder }
    }

    /// The disk behind the device.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Starts a server and waits until the device is live.
    pub(crate) fn start(&self, how: How) -> Server {
        let mut server = self.spawn(how);
        server.until_ready();
        server
    }

    /// Starts a server.
    pub(crate) fn spawn(&self, how: How) -> Server {
        let mut role = OsString::from(format!("{}:", how.word()));
        role.push(self.folder.path());
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "ublk::server::a_server_serves_until_its_input_ends",
            ])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Server { child, said }
    }
}

/// A running server. Killed at the end of a test that fails.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Kept: a program whose output nobody takes fails.
    said: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Waits until it says that the device is live.
    pub(crate) fn until_ready(&mut self) {
        let ready = self.said.any(|line| line.unwrap() == "ready");
        assert!(ready, "the server did not start");
    }

    /// Waits until it has opened the control file of the device, or has ended.
    pub(crate) fn until_open(&self) {
        let files = format!("/proc/{}/fd", self.child.id());
        while fs::read_dir(&files).unwrap().count() > 0
            && !fs::read_dir(&files)
                .unwrap()
                .flatten()
                .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new(CONTROL)))
        {
            thread::yield_now();
        }
    }

    /// Kills it; it has no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has it execute its program anew, and waits until the device is live again.
    pub(crate) fn execute_anew(&mut self) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(b"anew\n").unwrap();
        self.until_ready();
    }

    /// Waits for its end, which is not a good one.
    pub(crate) fn ends_badly(mut self) {
        assert!(!self.child.wait().unwrap().success());
    }

    /// Has it stop the device and end.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        assert!(!Path::new(NODE).exists());
        assert!(fs::symlink_metadata(DEVICE).is_err());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // after a good end there is nothing to kill
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sectors that the device has been told to write since it was added.
pub(crate) fn written() -> u64 {
    let counters = fs::read_to_string("/sys/block/ublkb88/stat").unwrap();
    counters.split_whitespace().nth(6).unwrap().parse().unwrap()
}

/// Waits until so many more sectors have been written.
pub(crate) fn until_written(sectors: u64) {
    let goal = written() + sectors;
    while written() < goal {
        // not as fast as can be: the writer needs the processors
        thread::sleep(Duration::from_millis(5));
    }
}

/// The configuration of the device on this disk.
pub(crate) fn configured(how: How, disk: &Path) -> DeviceConfig {
    let (queues, depth) = match how {
        How::Narrowly => (1, 4),
        How::Well | How::Directly | How::Fatally => (2, 32),
    };
    let (threads_per_queue, read_path) = match how {
        How::Directly => (3, ReadPath::ZeroCopy),
        How::Well | How::Narrowly | How::Fatally => (1, ReadPath::Copy),
    };
    DeviceConfig {
        name: NAME.to_owned(),
        id: Some(88),
        queues,
        depth,
        threads_per_queue,
        read_path,
        ..config(disk)
    }
}

/// Dies as soon as it is asked for anything.
struct Fatal;

impl Interceptor for Fatal {
    fn landing(&self, _: Option<Landing>, _: usize, _: &Waker) -> Result<Landing, LandingWait> {
        std::process::abort()
    }

    fn admit(&self, _: &Request, _: Option<&mut Landing>, _: &Waker) -> Result<Admission, Wait> {
        std::process::abort()
    }

    fn complete(&self, _: Ticket, _: Outcome) {
        std::process::abort()
    }

    fn poll_durable(&self, _: Lsn, _: &Waker) -> Poll<()> {
        std::process::abort()
    }
}

fn serve(how: How, folder: &Path) {
    let config = configured(how, &folder.join("disk"));
    let interceptor: Arc<dyn Interceptor> = match how {
        How::Fatally => Arc::new(Fatal),
        How::Well | How::Directly | How::Narrowly => witness(&config, &folder.join("mirror"), EVEN),
    };
    let device = UblkDevice::start(config, interceptor, 0).unwrap();
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    if line == "anew\n" {
        let failed = Command::new(env::current_exe().unwrap())
            .args(env::args_os().skip(1))
            .exec();
        panic!("{failed}");
    }
    device.stop().unwrap();
    device.wait().unwrap();
}

/// What a child process does; on its own, a look at the good case.
#[test]
fn a_server_serves_until_its_input_ends() {
    if let Some(role) = env::var_os(ROLE) {
        let role = role.into_string().unwrap();
        let (word, folder) = role.split_once(':').unwrap();
        let how = How::ALL.iter().find(|(_, name)| *name == word).unwrap().0;
        return serve(how, Path::new(folder));
    }
    let served = Served::new(super::bench::MIB);
    let server = served.start(How::Well);
    assert!(Path::new(NODE).exists());
    server.end();
}

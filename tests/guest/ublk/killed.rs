//! A server that is killed leaves nothing that its successor can't clear.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use aim_ublk::{DeviceConfig, UblkDevice};

use super::bench::{EVEN, MIB, config, directory, image, try_run, witness};
use crate::machine::shell;

/// Folder of the disk that a child process serves.
const SERVED: &str = "AIM_TEST_SERVED";

static ALONE: Mutex<()> = Mutex::new(());

struct Server {
    child: Child,
    /// Kept: a program whose output nobody takes fails.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// This very program again, as the test below.
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "ublk::killed::a_server_serves_until_its_input_ends",
            ])
            .env(SERVED, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut lines = said.lines();
        assert!(
            lines.any(|line| line.unwrap() == "ready"),
            "the server did not start"
        );
        Self {
            child,
            _output: lines,
        }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn serve(folder: &Path) {
    let disk = folder.join("disk");
    let config = DeviceConfig {
        name: "killed".to_owned(),
        id: Some(88),
        ..config(&disk)
    };
    let interceptor = witness(&config, &folder.join("mirror"), EVEN);
    let device = UblkDevice::start(config, interceptor, 0).unwrap();
    println!("\nready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    device.stop().unwrap();
    device.wait().unwrap();
}

#[test]
fn a_server_serves_until_its_input_ends() {
    if let Some(folder) = env::var_os(SERVED) {
        return serve(&PathBuf::from(folder));
    }
    // both tests use the same number
    let _alone = ALONE.lock().unwrap();
    let directory = directory();
    for name in ["disk", "mirror"] {
        image(&directory.path().join(name), MIB);
    }
    let server = Server::start(directory.path());
    assert!(Path::new("/dev/ublkb88").exists());
    server.end();
    assert!(!Path::new("/dev/ublkb88").exists());
}

#[test]
fn a_successor_takes_over_name_number_and_disk() {
    let _alone = ALONE.lock().unwrap();
    let directory = directory();
    let (disk, mirror) = (
        directory.path().join("disk"),
        directory.path().join("mirror"),
    );
    image(&disk, 64 * MIB);
    image(&mirror, 64 * MIB);
    for _ in 0..3 {
        let mut server = Server::start(directory.path());
        assert_eq!(
            fs::read_link("/dev/aim/killed").unwrap(),
            Path::new("/dev/ublkb88")
        );
        shell(
            "dd if=/dev/urandom of=/run/block bs=4k count=16 status=none \
             && dd if=/run/block of=/dev/aim/killed bs=64k oflag=direct,dsync status=none",
        );
        // killed under load
        let load = thread::spawn(|| {
            try_run(
                "fio --name=l --filename=/dev/aim/killed --offset=1M --rw=randwrite --bs=16k \
                 --size=32M --time_based --runtime=60 --iodepth=16 --ioengine=libaio --direct=1",
            )
        });
        let before = written();
        while written() < before + 2048 {
            thread::yield_now();
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        assert!(!load.join().unwrap().status.success());
        // what was durable still is
        shell(&format!("cmp -n 65536 /run/block {}", disk.display()));
    }
    // a clean stop clears all of it
    Server::start(directory.path()).end();
    assert!(fs::symlink_metadata("/dev/aim/killed").is_err());
    assert!(!Path::new("/dev/ublkb88").exists() && !Path::new("/dev/ublkc88").exists());
}

/// Sectors that the device has been told to write since it started.
fn written() -> u64 {
    let counters = fs::read_to_string("/sys/block/ublkb88/stat").unwrap();
    counters.split_whitespace().nth(6).unwrap().parse().unwrap()
}

//! A device that somebody uses goes on; one that nobody uses goes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use aim_ublk::{Error, User};

use super::bench::{Bench, EVEN, MIB};
use crate::machine::shell;

fn users(bench: &Bench) -> Vec<User> {
    match bench.device.stop() {
        Err(Error::InUse { users, .. }) => users,
        other => panic!("a device in use was stopped: {other:?}"),
    }
}

#[test]
fn a_mounted_device_is_not_stopped() {
    shell("modprobe ext4");
    let bench = Bench::new(64 * MIB, EVEN);
    let device = bench.path();
    let mount = tempfile::tempdir_in("/run").unwrap();
    let point = mount.path().display();
    shell(&format!(
        "mkfs.ext4 -q -F {device} && mount {device} {point}"
    ));
    assert!(users(&bench).contains(&User::Mount(mount.path().to_owned())));
    shell(&format!(
        "echo still here >{point}/file && sync && umount {point}"
    ));
    bench.finish();
}

#[test]
fn a_mounted_partition_holds_the_device() {
    shell("modprobe ext4");
    let bench = Bench::new(64 * MIB, EVEN);
    let node = bench.device.node().display().to_string();
    let mount = tempfile::tempdir_in("/run").unwrap();
    let point = mount.path().display();
    shell(&format!(
        "printf 'label: gpt\\n,,\\n' | sfdisk -q {node} && mkfs.ext4 -q -F {node}p1 \
         && mount {node}p1 {point}"
    ));
    assert!(users(&bench).contains(&User::Mount(mount.path().to_owned())));
    shell(&format!("umount {point}"));
    bench.finish();
}

#[test]
fn an_open_file_holds_the_device() {
    let bench = Bench::new(16 * MIB, EVEN);
    let mut reader = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(File::open(bench.device.path()).unwrap()))
        .spawn()
        .unwrap();
    let pid = reader.id();
    assert!(
        users(&bench)
            .iter()
            .any(|user| matches!(user, User::Process { pid: found, .. } if *found == pid))
    );
    reader.kill().unwrap();
    reader.wait().unwrap();
    bench.finish();
}

#[test]
fn force_stops_a_mounted_device_after_its_file_system_is_synced() {
    shell("modprobe ext4 && modprobe loop");
    let bench = Bench::new(64 * MIB, EVEN);
    let device = bench.path();
    let mount = tempfile::tempdir_in("/run").unwrap();
    let point = mount.path().display();
    shell(&format!(
        "mkfs.ext4 -q -F {device} && mount {device} {point}"
    ));
    shell(&format!("echo kept >{point}/file"));
    bench.device.stopper().stop_by_force().unwrap();
    shell(&format!("umount {point}"));
    shell(&format!(
        "e2fsck -fy {disk} || test $? = 1; mount -o loop,ro {disk} {point} \
         && grep kept {point}/file && umount {point}",
        disk = bench.disk.display()
    ));
    bench.device.wait().unwrap();
}

#[test]
fn requests_in_flight_are_answered_before_the_end() {
    let bench = Bench::new(64 * MIB, EVEN);
    let device = bench.path();
    let (stopper, witness) = (bench.device.stopper(), bench.witness.clone());
    let writer = thread::spawn(move || {
        // it loses its disk on the way
        super::bench::try_run(&format!(
            "dd if=/dev/zero of={device} bs=64k count=100000 oflag=direct status=none"
        ))
    });
    while witness.records().len() < 50 {
        thread::yield_now();
    }
    stopper.stop_by_force().unwrap();
    assert!(!writer.join().unwrap().status.success());
    drop(witness);
    bench.finish();
}

#[test]
fn a_dropped_device_is_gone() {
    let bench = Bench::new(16 * MIB, EVEN);
    let (path, node) = (
        bench.device.path().to_owned(),
        bench.device.node().to_owned(),
    );
    let stopper = bench.device.stopper();
    drop(bench);
    assert!(fs::symlink_metadata(path).is_err() && !Path::new(&node).exists());
    stopper.stop().unwrap();
}

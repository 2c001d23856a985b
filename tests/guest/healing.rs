//! What the mirror lacks is copied: at first, after a time without journal, where it was damaged.

use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::machine::{Disks, shell};
use crate::pair::{MOUNT, Pair, journal_disk, prepare};

const MIB: u64 = 1 << 20;

/// Random bytes on a disk, MiB after MiB.
fn write(disk: &Path, from: u64, count: u64) {
    let disk = disk.display();
    shell(&format!(
        "dd if=/dev/urandom of={disk} bs=1M seek={from} count={count} oflag=direct conv=notrunc \
             status=none"
    ));
}

/// Small writes all over the device, until they are stopped.
fn writing(device: &str) -> Child {
    Command::new("fio")
        // in one process, so that it is stopped by one signal
        .args([
            "--thread",
            "--name=on",
            "--filename",
            device,
            "--rw=randwrite",
        ])
        .args(["--bs=4k", "--direct=1", "--size=256m"])
        .args(["--thinktime=100ms", "--thinktime_blocks=16"])
        .args(["--time_based", "--runtime=600", "--minimal"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("fio starts")
}

/// Waits until a field of the volume's status is as wanted.
fn wait_until(daemon: &Daemon, name: &str, is_it: impl Fn(&Value) -> bool) {
    let start = std::time::Instant::now();
    loop {
        let value = daemon.status(name);
        if is_it(&value) {
            return;
        }
        assert!(start.elapsed().as_secs() < 300, "`{name}` stays {value}");
    }
}

#[test]
fn first_copy_of_a_disk_in_use() {
    prepare();
    let disks = Disks::of_this_machine();
    let source = disks.source.display();
    shell(&format!(
        "mkfs.ext4 -q {source} 64M; mount {source} {MOUNT}
         head -c 9M /dev/urandom > {MOUNT}/before; umount {MOUNT}"
    ));
    write(&disks.source, 300, 20);
    // a part of it is there already
    shell(&format!(
        "dd if={source} of={} bs=1M count=20 oflag=direct conv=notrunc status=none",
        disks.mirror.display()
    ));
    let pair = Pair::with_first_copy();
    let mut writer = writing(&pair.device());
    let (status, lines) = pair.source().json("sync data --timeout 600s");
    assert_eq!(status, 0, "{lines:?}");
    assert_eq!(lines.last().unwrap()["state"], "done");
    writer.kill().unwrap();
    writer.wait().unwrap();
    pair.end();
}

#[test]
fn the_disk_goes_on_while_the_journal_has_no_room() {
    let pair = Pair::new();
    let device = pair.device();
    write(Path::new(&device), 0, 2);
    pair.source().settle();
    let filler = journal_disk().join("filler");
    // as root it gets what is reserved, too
    shell(&format!(
        "dd if=/dev/zero of={} bs=1M status=none 2> /dev/null || true; sync",
        filler.display()
    ));
    write(Path::new(&device), 4, 4);
    wait_until(pair.source(), "state", |state| state == "passthrough");
    write(Path::new(&device), 40, 8);
    let report = pair.source().status("resync");
    let needed = report["needed_bytes"].as_u64().unwrap();
    assert!(needed >= 12 * MIB, "{report}");
    let (status, lines) = pair.source().json("status data");
    assert_eq!((status, lines.len()), (3, 1));
    let (status, _) = pair.source().json("wait data");
    assert_eq!(status, 3, "what changes is not captured");
    let (status, _) = pair.source().json("sync data --timeout 1s");
    assert_eq!(status, 16);
    std::fs::remove_file(filler).unwrap();
    let (status, lines) = pair.source().json("sync data --timeout 600s");
    assert_eq!(status, 0, "{lines:?}");
    assert_eq!(pair.source().status("passthrough_seconds"), Value::Null);
    write(Path::new(&device), 2, 1);
    pair.end();
}

#[test]
fn a_mirror_that_was_damaged_is_found_and_mended() {
    let mut pair = Pair::new();
    let mirror = pair.disks.mirror.clone();
    let device = pair.device();
    write(Path::new(&device), 0, 16);
    pair.source().settle();
    let (status, lines) = pair.source().json("verify data --timeout 600s");
    let last = lines.last().unwrap();
    assert_eq!((status, &last["differences"]), (0, &json!([])), "{lines:?}");
    assert_eq!(last["compared_bytes"], 320 * MIB);

    pair.stop_mirror();
    // a few bytes of the sixth MiB, behind the back of everybody
    shell(&format!(
        "head -c 4096 /dev/urandom | dd of={} bs=4k seek=1300 oflag=direct conv=notrunc status=none",
        mirror.display()
    ));
    pair.start_mirror();
    let (status, lines) = pair.source().json("verify data --timeout 600s");
    let sixth = json!([{"target": "target", "device": 0, "offset": 5 * MIB, "bytes": MIB}]);
    assert_eq!(status, 14, "{lines:?}");
    assert_eq!(lines.last().unwrap()["differences"], sixth);
    assert_eq!(pair.source().status("different_bytes"), MIB);
    let (status, _) = pair.source().json("status data");
    assert_eq!(status, 3, "it is not overlooked");
    let (status, lines) = pair.source().json("sync data --all --timeout 600s");
    assert_eq!(status, 0, "{lines:?}");
    assert_eq!(pair.source().status("different_bytes"), 0);
    let (status, _) = pair.source().json("verify data --timeout 600s");
    assert_eq!(status, 0);

    pair.stop_mirror();
    write(&mirror, 200, 3);
    pair.start_mirror();
    let (status, lines) = pair.source().json("verify data --repair --timeout 600s");
    assert_eq!(status, 0, "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!(last["mended_bytes"], 3 * MIB);
    assert_eq!(last["different_bytes"], 0);
    let (status, _) = pair.source().json("verify data --no-wait");
    assert_eq!(status, 0);
    // one more that is waited for: at the end nothing is left to be shipped
    let (status, _) = pair.source().json("verify data --timeout 600s");
    assert_eq!(status, 0);
    pair.end();
}

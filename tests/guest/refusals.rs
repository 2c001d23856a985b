//! What `aim` refuses on real disks: those in use, and folders on the disk that they serve.

use std::path::Path;
use std::process::Command;

use crate::machine::{Disks, shell, variable};

/// A program's end: its exit status and what it said on stderr.
struct Refused {
    status: Option<i32>,
    said: String,
}

/// Where the rings would be.
const RUN_DIR: &str = "/run/refusals-run";

/// Runs `aim` with a configuration of one volume, in a folder that is made anew.
fn aim(arguments: &str, device: &Path, journal: &str) -> Refused {
    configure(device, journal);
    run(arguments)
}

fn configure(device: &Path, journal: &str) {
    let config = format!(
        "run_dir = \"{RUN_DIR}\"\nstate_dir = \"/run/refusals/state\"\n[volume.data]\ndevice = \"{}\"\njournal = \"{journal}\"\ntarget = \"/run/refusals/mirror\"\n",
        device.display()
    );
    shell("rm -rf /run/refusals && mkdir -p /run/refusals/mirror");
    std::fs::write("/run/refusals/aim.toml", config).expect("a configuration is written");
}

fn run(arguments: &str) -> Refused {
    let output = Command::new(variable("AIM_TEST_PROGRAM"))
        .args(arguments.split(' '))
        .args(["-c", "/run/refusals/aim.toml"])
        .output()
        .expect("aim starts");
    Refused {
        status: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Refused {
    #[track_caller]
    fn is(&self, status: i32, words: &str) {
        assert_eq!(self.status, Some(status), "{}", self.said);
        assert!(self.said.contains(words), "no `{words}` in: {}", self.said);
    }
}

/// The second partition of a freshly partitioned disk, and its name.
fn partition(disk: &Path) -> String {
    let disk = disk.display();
    shell(&format!(
        "wipefs -qa {disk}; printf 'label: gpt\\n,128M\\n,\\n' | sfdisk -q --wipe always {disk}; \
         for i in $(seq 100); do [ -b {disk}2 ] && break; sleep 0.1; done; [ -b {disk}2 ]; \
         wipefs -qa {disk}1 {disk}2; mkdir -p /mnt/refusals"
    ));
    format!("{disk}2")
}

const INIT: &str = "init data --assume-identical";

#[test]
fn a_disk_in_use_is_never_taken() {
    let disk = Disks::of_this_machine().source;
    let part = partition(&disk);
    let free = "/run/refusals/journal";

    shell(&format!("mkfs.ext4 -q {part}; mount {part} /mnt/refusals"));
    aim(INIT, Path::new(&part), free).is(11, "mounted at /mnt/refusals");
    aim(INIT, &disk, free).is(11, "mounted at /mnt/refusals");
    shell("umount /mnt/refusals");

    shell(&format!(
        "wipefs -qa {part}; mkswap -q {part}; swapon {part}"
    ));
    aim(INIT, &disk, free).is(11, "swap");
    shell(&format!("swapoff {part}; wipefs -qa {part}"));

    // what it bears is copied to the mirror
    aim("init data", &disk, free).is(0, "");
    shell(&format!("wipefs -qa {}", disk.display()));
}

#[test]
fn a_journal_on_the_mirrored_disk_is_found_under_any_file_system() {
    let disk = Disks::of_this_machine().source;
    let part = partition(&disk);
    for (make, options) in [("ext4", "-q"), ("btrfs", "-qf")] {
        shell(&format!(
            "modprobe -q {make} || true; mkfs.{make} {options} {part}; mount {part} /mnt/refusals"
        ));
        for folder in ["/mnt/refusals/journal", "/mnt/refusals/not/yet/there"] {
            for command in ["config check", INIT, "run"] {
                aim(command, &disk, folder).is(2, "lies on the mirrored disk");
            }
        }
        shell("umount /mnt/refusals");
    }
    shell(&format!("wipefs -qa {part} {}", disk.display()));
}

/// A ring without memory behind it would end the daemon with a signal, once that is missed.
#[test]
fn a_volume_whose_ring_has_no_room_does_not_start() {
    let disk = Disks::of_this_machine().source;
    shell(&format!(
        "mkdir -p {RUN_DIR}; mount -t tmpfs -o size=1M none {RUN_DIR}"
    ));
    aim(INIT, &disk, "/run/refusals/journal").is(0, "");
    let refused = run("run");
    refused.is(1, "No space left on device");
    refused.is(1, &format!("{RUN_DIR}/data/staging.ring"));
    refused.is(1, "`run_dir` needs that much room");
    shell(&format!("umount {RUN_DIR}"));
}

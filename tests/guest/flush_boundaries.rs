//! The mirror as of each flush of the source is a disk that a file system recovers from.
//!
//! A file system that waits for its flushes is whole after a power cut at any moment, and the
//! moments just behind a flush are those it counts on. So a run is recorded, and its journal files
//! are put on an image record by record; at each flush that stops, and the file system's own
//! recovery and checker judge a copy. Whatever was synced before must be on it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use aim_core::format::{Iocb, Kind};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::VerifiedFile;
use aim_core::units::Lsn;

use crate::machine::{Disks, shell};
use crate::pair::{MOUNT, Pair, mirror_folder};

/// What the records are put on, and the copy that is judged: both in memory, both sparse.
const IMAGE: &str = "/run/boundary.img";
const COPY: &str = "/run/boundary-copy.img";

/// What a file system goes through. Each step ends with a mark that is synced: a file with the
/// step's number.
const STEPS: [&str; 6] = [
    "mkdir one; for n in 1 2 3 4 5 6; do echo \"file $n\" > one/$n; done",
    "head -c 300k /dev/urandom > large; mv one/1 two; ln -s two link; ln large hard",
    "head -c 9k /dev/urandom >> one/2; truncate --size 70k large",
    "rm one/4 hard; mkdir one/sub; mv one/sub three; sync .",
    "fallocate --punch-hole --offset 8k --length 16k large; cp large one/copy; sync one/copy",
    "rm -r one large",
];

#[test]
fn ext4_flush_boundaries() {
    let options = "lazy_itable_init=0,lazy_journal_init=0";
    run(
        &format!("mkfs.ext4 -q -E {options} DISK 24M"),
        "e2fsck -f -n",
    );
}

#[test]
fn xfs_flush_boundaries() {
    run("mkfs.xfs -q DISK", "xfs_repair -n");
}

/// Records a run on a file system and has it judged at each flush since it was made.
fn run(make: &str, check: &str) {
    let mut pair = Pair::new();
    // every file stays where it arrives
    pair.kill_mirror();
    let device = pair.device();
    let captured = || Lsn(pair.source().status("captured_lsn").as_u64().unwrap());
    shell(&format!(
        "modprobe loop; {}; mount {device} {MOUNT}",
        make.replace("DISK", &device)
    ));
    let mounted = captured();
    let step = |(number, step): (usize, &&str)| {
        shell(&format!(
            "cd {MOUNT}; {step}; echo {number} > mark.{number}; sync mark.{number}"
        ));
        captured()
    };
    let marks: Vec<Lsn> = STEPS.iter().enumerate().map(step).collect();
    shell(&format!("umount {MOUNT}"));
    pair.stop_source();

    let mut boundaries = 0;
    replay(&mirror_folder().join("incoming"), mounted, &mut |lsn| {
        boundaries += 1;
        judge(
            check,
            lsn,
            marks.iter().filter(|mark| **mark <= lsn).count(),
        );
    });
    println!("{boundaries} flushes");
    assert!(boundaries > STEPS.len(), "{boundaries} flushes only");
    for path in [IMAGE, COPY] {
        fs::remove_file(path).expect("it is there");
    }
    pair.start_source();
    pair.start_mirror();
    pair.end();
}

/// Puts all records on the image; at each flush after `from` it is `boundary`'s turn.
fn replay(folder: &Path, from: Lsn, boundary: &mut dyn FnMut(Lsn)) {
    let disk = Disks::of_this_machine().source;
    let size = shell(&format!("blockdev --getsize64 {}", disk.display()));
    let image = File::create(IMAGE).expect("an image");
    let size = size.trim().parse().expect("a number");
    image.set_len(size).expect("room");
    let folder = HostDirectory::open(folder).expect("the folder");
    let mut names = folder.list().expect("readable");
    names.retain(|name| name.ends_with(".aim"));
    names.sort();
    for name in names {
        let file = folder.open(&name, false).expect("readable");
        let file = VerifiedFile::open(file).expect("sound");
        for iocb in file.records() {
            put(&image, &file, iocb);
            if iocb.kind == Kind::Flush && iocb.lsn > from {
                boundary(iocb.lsn);
            }
        }
    }
}

/// Does one record.
fn put(image: &File, file: &VerifiedFile, iocb: &Iocb) {
    let (offset, len) = (iocb.offset.get(), iocb.len.get());
    match iocb.kind {
        Kind::Write => {
            let mut bytes = vec![0; iocb.stored_size() as usize];
            file.read_payload(iocb, &mut bytes).expect("sound");
            image.write_all_at(&bytes, offset).expect("room");
        }
        Kind::WriteZeroes { .. } | Kind::Discard => {
            // stays sparse, so that copies are cheap
            let range = format!("--offset {offset} --length {len}");
            shell(&format!("fallocate --punch-hole {range} {IMAGE}"));
        }
        _ => {}
    }
}

/// Has a copy of the image recovered by a mount, looks for the first `marks` marks, and has it
/// checked.
fn judge(check: &str, lsn: Lsn, marks: usize) {
    let script = format!(
        "cp --sparse=always {IMAGE} {COPY}
         mount -o loop {COPY} {MOUNT}
         for mark in $(seq {marks}); do
             [ \"$(cat {MOUNT}/mark.$((mark - 1)))\" = $((mark - 1)) ] || lost=yes
         done
         umount {MOUNT}
         [ -z \"${{lost:-}}\" ]
         {check} {COPY}"
    );
    let output = Command::new("bash").args(["-ec", &script]).output();
    let output = output.expect("bash starts");
    assert!(
        output.status.success(),
        "as of the flush with LSN {lsn}, with {marks} marks:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

//! The mirror as of each flush of the source is a disk that a file system recovers from.
//!
//! A file system that waits for its flushes is whole after a power cut at any moment, and the
//! moments just behind a flush are those it counts on. So a run is recorded, and its journal files
//! are put on an image record by record; at each flush that stops, and the file system's own
//! recovery and checker judge a copy.

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

/// What each file system goes through: new, longer, shorter, renamed and removed files, folders,
/// links, each step with a sync of its own.
const WORK: &str = "
    mkdir one; for n in 1 2 3 4 5 6; do echo \"file $n\" > one/$n; done; sync one one/3
    head -c 300k /dev/urandom > large; sync large
    mv one/1 two; ln -s two link; ln large hard; sync .
    head -c 9k /dev/urandom >> one/2; sync one/2
    truncate --size 70k large; fallocate --punch-hole --offset 8k --length 16k large; sync large
    rm one/4 hard; mkdir one/sub; mv one/sub three; sync .
    cp large one/copy; rm large; sync one/copy";

#[test]
fn ext4_flush_boundaries() {
    let make = "mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 DISK 24M";
    // replays its journal, and then finds nothing that would have to be mended
    run(
        make,
        "e2fsck -y -E journal_only IMAGE && e2fsck -f -n IMAGE",
    );
}

#[test]
fn xfs_flush_boundaries() {
    run(
        "mkfs.xfs -q DISK",
        "mount -o loop IMAGE MOUNT && umount MOUNT && xfs_repair -n IMAGE",
    );
}

/// Records a run on a file system and has it judged at each flush since it was made.
fn run(make: &str, check: &str) {
    let mut pair = Pair::new();
    // every file stays where it arrives
    pair.kill_mirror();
    shell("modprobe loop");
    let device = pair.device();
    shell(&make.replace("DISK", &device));
    let made = pair.source().status("captured_lsn").as_u64();
    let made = Lsn(made.expect("a number"));
    shell(&format!(
        "mount {device} {MOUNT}; cd {MOUNT}; {WORK}; cd /; umount {MOUNT}"
    ));
    pair.stop_source();

    let check = check.replace("IMAGE", COPY).replace("MOUNT", MOUNT);
    let boundaries = replay(&mirror_folder().join("incoming"), made, &mut |lsn| {
        judge(&check, lsn);
    });
    println!("{boundaries} flushes");
    assert!(boundaries >= 8, "the work flushed {boundaries} times only");
    for path in [IMAGE, COPY] {
        fs::remove_file(path).expect("it is there");
    }
    pair.start_source();
    pair.start_mirror();
    pair.end();
}

/// Puts all records on the image; at each flush after `from` it is `boundary`'s turn. Returns how
/// often.
fn replay(folder: &Path, from: Lsn, boundary: &mut dyn FnMut(Lsn)) -> usize {
    let size = shell(&format!(
        "blockdev --getsize64 {}",
        Disks::of_this_machine().source.display()
    ));
    let image = File::create(IMAGE).expect("an image");
    let size = size.trim().parse().expect("a number");
    image.set_len(size).expect("room");
    let folder = HostDirectory::open(folder).expect("the folder");
    let mut names = folder.list().expect("readable");
    names.retain(|name| name.ends_with(".aim"));
    names.sort();
    let mut boundaries = 0;
    for name in names {
        let file = folder.open(&name, false).expect("readable");
        let file = VerifiedFile::open(file).expect("sound");
        for iocb in file.records() {
            put(&image, &file, iocb);
            if iocb.kind == Kind::Flush && iocb.lsn > from {
                boundary(iocb.lsn);
                boundaries += 1;
            }
        }
    }
    boundaries
}

/// Does one record.
fn put(image: &File, file: &VerifiedFile, iocb: &Iocb) {
    let mut bytes = match iocb.kind {
        Kind::Write => vec![0; iocb.stored_size() as usize],
        Kind::WriteZeroes { .. } | Kind::Discard => {
            let (offset, len) = (iocb.offset, iocb.len);
            // stays sparse, so that copies are cheap
            shell(&format!(
                "fallocate --punch-hole --offset {offset} --length {len} {IMAGE}"
            ));
            return;
        }
        _ => return,
    };
    file.read_payload(iocb, &mut bytes).expect("sound");
    let offset = iocb.offset.get();
    image.write_all_at(&bytes, offset).expect("room");
}

/// Has the image's copy recovered and checked.
fn judge(check: &str, lsn: Lsn) {
    shell(&format!("cp --sparse=always {IMAGE} {COPY}"));
    let output = Command::new("bash")
        .args(["-c", check])
        .output()
        .expect("bash starts");
    assert!(
        output.status.success(),
        "as of the flush with LSN {lsn}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Many requests at once, from several processes.

use crate::machine::shell;
use crate::pair::Pair;

#[test]
fn fio_verifies_what_several_jobs_wrote() {
    let pair = Pair::new();
    let device = pair.device();
    let job = |name: &str, words: &str| {
        format!(
            "--name={name} --filename={device} --direct=1 --verify=crc32c --verify_fatal=1 {words}"
        )
    };
    let jobs = [
        job(
            "small",
            "--rw=randwrite --bs=512-16k --ioengine=libaio --iodepth=16 --size=4M",
        ),
        job(
            "large",
            "--rw=write --bs=256k --ioengine=libaio --iodepth=4 --size=8M --offset=64M",
        ),
        job(
            "synced",
            "--rw=randwrite --bs=4k --fsync=8 --size=1M --offset=128M",
        ),
        job(
            "mixed",
            "--rw=randrw --bs=4k-64k --ioengine=libaio --iodepth=8 --size=4M --offset=192M",
        ),
    ];
    shell(&format!("fio --minimal --randrepeat=1 {}", jobs.join(" ")));
    pair.end();
}

#[test]
fn overlapping_writes_end_the_same_on_both_disks() {
    let pair = Pair::new();
    let device = pair.device();
    // four jobs over the same 256 KiB: nobody knows what stays, both disks must agree on it
    shell(&format!(
        "fio --minimal --name=overlap --filename={device} --direct=1 --rw=randwrite --bs=4k-64k \
         --ioengine=libaio --iodepth=16 --size=256k --io_size=2M --numjobs=4 --norandommap"
    ));
    pair.end();
}

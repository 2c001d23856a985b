//! Waits for memory and for overlapping requests, and wake-ups from other threads: nothing is
//! lost, reordered or stuck.

use std::time::Duration;

use aim_tests::witness::Temper;

use super::bench::{Bench, EVEN, MIB};
use crate::machine::shell;

/// Two jobs on two queues over the same range, so that requests overlap; what is on the disk in
/// the end is then what the last one wrote, and the mirror must agree.
pub(super) fn overlapping_writes(bench: &Bench, megabytes: u64) {
    shell(&format!(
        "fio --name=w --filename={} --rw=randwrite --bsrange=512-64k --blockalign=512 \
         --size={megabytes}M --io_size=12M --numjobs=2 --iodepth=16 --ioengine=libaio --direct=1 \
         --norandommap --randrepeat=0 --fdatasync=32 --refill_buffers --output=/dev/null",
        bench.path()
    ));
}

#[test]
fn two_jobs_are_verified_on_two_queues() {
    let bench = Bench::new(64 * MIB, EVEN);
    assert_eq!(bench.device.queues(), 2);
    shell(&format!(
        "fio --name=v --filename={} --rw=randwrite --bs=4k --size=16M --offset_increment=32M \
         --numjobs=2 --iodepth=16 --ioengine=libaio --direct=1 --verify=crc32c --do_verify=1 \
         --verify_fatal=1 --output=/dev/null",
        bench.path()
    ));
    assert!(bench.witness.reads() > 0);
    bench.finish();
}

#[test]
fn overlapping_requests_have_one_order_on_both_disks() {
    let bench = Bench::new(64 * MIB, EVEN);
    overlapping_writes(&bench, 1);
    assert!(
        bench.witness.waits().overlap > 0,
        "{:?}",
        bench.witness.waits()
    );
    bench.finish();
}

#[test]
fn full_memory_holds_writes_back_and_loses_none() {
    let tiny = Temper {
        drain_pause: Duration::from_micros(300),
        ..EVEN
    };
    let bench = Bench::new(64 * MIB, tiny);
    overlapping_writes(&bench, 48);
    assert!(
        bench.witness.waits().full > 0,
        "{:?}",
        bench.witness.waits()
    );
    bench.finish();
}

#[test]
fn refusals_out_of_the_blue_are_waited_out() {
    let moody = Temper {
        slots: 512,
        refuse_every: 3,
        ..EVEN
    };
    let bench = Bench::new(64 * MIB, moody);
    overlapping_writes(&bench, 4);
    let waits = bench.witness.waits();
    assert!(waits.full > 100 && waits.durable > 0, "{waits:?}");
    bench.finish();
}

//! The ways on which requests can be served: without a copy of what is read, by several threads
//! per queue. Where the kernel lacks one, the plain way is taken. And what is measured on them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aim_core::request::Operation;
use aim_tests::witness::Temper;
use aim_ublk::{ReadPath, RequestKind, RunningDevice, kernel};

use super::bench::{Bench, EVEN, MIB};
use super::pressure::overlapping_writes;
use crate::machine::shell;

/// Writes by two jobs that read all of it back and look at each byte, then reads and writes of
/// all sizes at odd places.
fn verified_work(bench: &Bench) {
    shell(&format!(
        "fio --name=v --filename={} --rw=randwrite --bsrange=512-128k --blockalign=512 --size=16M \
         --offset_increment=32M --numjobs=2 --iodepth=16 --ioengine=libaio --direct=1 \
         --verify=crc32c --do_verify=1 --verify_fatal=1 --output=/dev/null",
        bench.path()
    ));
    overlapping_writes(bench, 4);
}

/// Names of the threads that serve a device.
fn threads(device: &RunningDevice) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let prefix = format!("ublk{}-q", device.id());
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with(&prefix))
        .map(|name| name.trim()[prefix.len()..].to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn reads_that_are_not_copied_are_right() {
    let bench = Bench::with(64 * MIB, EVEN, |config| {
        config.read_path = ReadPath::ZeroCopy;
    });
    let expected = match kernel::features().unwrap().zero_copy_reads() {
        true => ReadPath::ZeroCopy,
        false => ReadPath::Copy,
    };
    assert_eq!(bench.device.read_path(), expected);
    verified_work(&bench);
    bench.finish();
}

#[test]
fn full_memory_loses_nothing_where_writes_are_fetched() {
    let moody = Temper {
        refuse_every: 3,
        drain_pause: Duration::from_micros(300),
        ..EVEN
    };
    let bench = Bench::with(64 * MIB, moody, |config| {
        config.read_path = ReadPath::ZeroCopy;
    });
    overlapping_writes(&bench, 48);
    let waits = bench.witness.waits();
    assert!(waits.full > 100, "{waits:?}");
    bench.finish();
}

#[test]
fn several_threads_share_a_queue() {
    for read_path in [ReadPath::Copy, ReadPath::ZeroCopy] {
        // 32 slots do not divide evenly
        let bench = Bench::with(64 * MIB, EVEN, |config| {
            config.threads_per_queue = 3;
            config.read_path = read_path;
        });
        let expected: &[&str] = match kernel::features().unwrap().threads_per_queue() {
            true => &["0", "0.1", "0.2", "1", "1.1", "1.2"],
            false => &["0", "1"],
        };
        assert_eq!(threads(&bench.device), expected);
        assert_eq!(
            usize::from(bench.device.threads_per_queue()),
            expected.len() / 2
        );
        verified_work(&bench);
        let node = bench.device.node().to_owned();
        bench.finish();
        assert!(!Path::new(&node).exists());
    }
}

#[test]
fn what_is_measured_is_what_was_served() {
    let bench = Bench::with(64 * MIB, EVEN, |config| {
        config.threads_per_queue = 2;
    });
    shell(&format!(
        "fio --name=m --filename={} --rw=randrw --bs=4k --size=8M --iodepth=16 --ioengine=libaio \
         --direct=1 --fdatasync=16 --output=/dev/null && blkdiscard -f -z -l 1M {}",
        bench.path(),
        bench.path()
    ));
    let reads = bench.witness.reads();
    let reader = bench.device.latencies();
    let records = bench.finish();
    let measured = reader.read();
    let count = |of: fn(Operation) -> bool| {
        let records = records.iter();
        records
            .filter(|record| of(record.request.operation))
            .count() as u64
    };
    let writes = count(|operation| operation == Operation::Write);
    let flushes = count(|operation| operation == Operation::Flush);
    let zeroed = count(|operation| matches!(operation, Operation::WriteZeroes { .. }));
    assert!(writes > 0 && flushes > 0 && zeroed == 1);
    for (kind, expected) in RequestKind::ALL
        .into_iter()
        .zip([reads, writes, flushes, zeroed])
    {
        for measured in [&measured.request, &measured.disk] {
            assert_eq!(measured[kind as usize].count(), expected, "{kind:?}");
        }
        let (request, disk) = (
            &measured.request[kind as usize],
            &measured.disk[kind as usize],
        );
        assert!(request.sum() >= disk.sum(), "{kind:?}");
        assert!(!request.max().is_zero(), "{kind:?}");
    }
    // a write with FUA waits for the journal as a flush does
    assert!(measured.journal.count() >= flushes);
}

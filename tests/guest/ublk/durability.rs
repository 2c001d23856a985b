//! A flush and a forced write end only when disk and journal are durable.

use std::time::Duration;

use aim_core::request::Operation;
use aim_tests::witness::{Record, Temper};

use super::bench::{Bench, EVEN, MIB};
use crate::machine::shell;

fn count(records: &[Record], what: impl Fn(&Record) -> bool) -> usize {
    records.iter().filter(|record| what(record)).count()
}

#[test]
fn flushes_and_forced_writes_wait_for_the_journal() {
    let slow = Temper {
        drain_pause: Duration::from_millis(20),
        ..EVEN
    };
    let bench = Bench::new(64 * MIB, slow);
    let device = bench.path();
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=4k count=5 oflag=direct,dsync status=none"
    ));
    // each of the five returned only when the slow drain had reached it
    let durable_writes = count(&bench.witness.records(), |record| {
        record.request.fua || record.request.operation == Operation::Flush
    });
    assert!(durable_writes >= 5, "{durable_writes} of 5 were durable");
    assert!(
        bench.witness.waits().durable >= 5,
        "{:?}",
        bench.witness.waits()
    );

    shell(&format!(
        "dd if=/dev/urandom of={device} bs=4k count=3 seek=64 oflag=direct conv=fsync status=none"
    ));
    let records = bench.finish();
    assert!(
        count(&records, |record| record.request.operation
            == Operation::Flush)
            >= 1
    );
    assert!(count(&records, |record| record.request.fua) >= 5);
}

#[test]
fn a_cache_and_forced_writes_are_advertised() {
    let bench = Bench::new(16 * MIB, EVEN);
    let node = bench
        .device
        .node()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let queue = |file: &str| {
        let path = format!("/sys/block/{node}/queue/{file}");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(queue("write_cache"), "write back");
    assert_eq!(queue("fua"), "1");
    assert!(
        queue("scheduler").contains("[none]"),
        "{}",
        queue("scheduler")
    );
    bench.finish();
}

//! Requests without payload arrive as one range, are recorded as one, and read as zeroes.

use aim_core::request::Operation;
use aim_tests::witness::Record;

use super::bench::{Bench, EVEN, MIB, output};
use crate::machine::shell;

/// The ranges of the records of an operation, as offset and length in MiB.
fn ranges(records: &[Record], operation: Operation) -> Vec<(u64, u64)> {
    let wanted = records
        .iter()
        .filter(|record| record.request.operation == operation);
    wanted
        .map(|record| {
            let request = record.request;
            (request.offset.get() / MIB, request.len.get() / MIB)
        })
        .collect()
}

fn assert_zero(device: &str, from: u64, len: u64) {
    let odd = output(&format!(
        "dd if={device} bs=1M skip={from} count={len} iflag=direct status=none | tr -d '\\0' | wc -c"
    ));
    assert_eq!(
        odd, "0",
        "{device} is not zero from {from} MiB for {len} MiB"
    );
}

#[test]
fn a_discard_of_the_whole_device_is_one_record() {
    let bench = Bench::new(640 * MIB, EVEN);
    let device = bench.path();
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=1M count=8 oflag=direct status=none && blkdiscard -f {device}"
    ));
    assert_zero(&device, 0, 16);
    let records = bench.finish();
    assert_eq!(ranges(&records, Operation::Discard), [(0, 640)]);
}

#[test]
fn zeroing_is_one_record_with_or_without_unmap() {
    let bench = Bench::new(128 * MIB, EVEN);
    let device = bench.path();
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=1M count=12 oflag=direct status=none \
         && blkdiscard -f -z -o 0 -l 40M {device} \
         && dd if=/dev/urandom of={device} bs=1M count=12 oflag=direct status=none \
         && fallocate -z -o 2M -l 4M {device} && fallocate -p -o 8M -l 4M {device}"
    ));
    assert_zero(&device, 2, 4);
    assert_zero(&device, 8, 4);
    let records = bench.finish();
    let stays = Operation::WriteZeroes { unmap: false };
    assert_eq!(ranges(&records, stays), [(0, 40), (2, 4)]);
    let goes = Operation::WriteZeroes { unmap: true };
    assert_eq!(ranges(&records, goes), [(8, 4)]);
}

#[test]
fn a_block_device_behind_it_is_zeroed_too() {
    shell("modprobe loop");
    let directory = super::bench::directory();
    let image = directory.path().join("image");
    super::bench::image(&image, 256 * MIB);
    let node = output(&format!(
        "losetup --show -f --direct-io=off {}",
        image.display()
    ));
    let mirror = directory.path().join("mirror");
    super::bench::image(&mirror, 256 * MIB);
    let config = super::bench::config(node.as_ref());
    let witness = super::bench::witness(&config, &mirror, EVEN);
    let device = aim_ublk::UblkDevice::start(config, witness.clone(), 0).unwrap();
    let path = device.path().display().to_string();
    shell(&format!(
        "dd if=/dev/urandom of={path} bs=1M count=32 oflag=direct status=none \
         && blkdiscard -f -o 4M -l 4M {path} && blkdiscard -f -z -o 12M -l 4M {path} \
         && fallocate -p -o 20M -l 4M {path}"
    ));
    for from in [4, 12, 20] {
        assert_zero(&path, from, 4);
    }
    device.stop().unwrap();
    device.wait().unwrap();
    std::sync::Arc::into_inner(witness)
        .unwrap()
        .finish()
        .unwrap();
    shell(&format!("losetup -d {node}"));
    super::bench::assert_same(&image, &mirror);
}

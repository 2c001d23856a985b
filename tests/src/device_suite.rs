//! What every [`BlockDevice`] must do, as tests that run on all of them.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use aim_core::device::{BlockDevice, WriteRun};
use aim_core::units::{ByteLen, ByteOffset};

use crate::Rng;

/// Smallest device that the suite runs on.
pub const SIZE_MIN: ByteLen = ByteLen(256 * 1024);

/// Runs the whole suite; what the device holds is overwritten.
///
/// # Panics
///
/// Where the device does not behave.
pub fn assert_behaves(device: &dyn BlockDevice) {
    assert!(device.size() >= SIZE_MIN);
    assert!(device.block_size().is_power_of_two());
    assert!((512..=4096).contains(&device.block_size()));
    assert!(
        device
            .size()
            .get()
            .is_multiple_of(device.block_size().into())
    );
    zeroes_read_as_zeroes(device);
    batches_are_stored_whole(device);
    long_writes_of_a_batch_are_stored_whole(device);
    foreign_ranges_are_refused_and_change_nothing(device);
    empty_ranges_change_nothing(device);
    many_operations_agree_with_a_model(device);
    device.sync().unwrap();
}

fn content(device: &dyn BlockDevice) -> Vec<u8> {
    let mut bytes = vec![0; device.size().get() as usize];
    device.read(ByteOffset(0), &mut bytes).unwrap();
    bytes
}

fn zeroes_read_as_zeroes(device: &dyn BlockDevice) {
    let size = device.size().get();
    let block = u64::from(device.block_size());
    for unmap in [false, true] {
        device
            .write(ByteOffset(0), &vec![0xff; size as usize])
            .unwrap();
        device
            .write_zeroes(ByteOffset(block), ByteLen(size - 2 * block), unmap)
            .unwrap();
        let bytes = content(device);
        let (first, rest) = bytes.split_at(block as usize);
        let (middle, last) = rest.split_at((size - 2 * block) as usize);
        assert!(middle.iter().all(|&byte| byte == 0), "unmap {unmap}");
        assert!(first.iter().chain(last).all(|&byte| byte == 0xff));
    }
    device
        .write(ByteOffset(0), &vec![0xff; size as usize])
        .unwrap();
    device.discard(ByteOffset(0), ByteLen(size)).unwrap();
    assert!(content(device).iter().all(|&byte| byte == 0), "discarded");
}

fn batches_are_stored_whole(device: &dyn BlockDevice) {
    let block = device.block_size() as usize;
    device
        .write_zeroes(ByteOffset(0), device.size(), false)
        .unwrap();
    // out of order, some side by side, some not
    let places = [5, 1, 2, 40, 0, 7, 6];
    let payloads: Vec<Vec<u8>> = places.iter().map(|&at| vec![at as u8 + 1; block]).collect();
    let runs: Vec<WriteRun<'_>> = places
        .iter()
        .zip(&payloads)
        .map(|(&at, data)| WriteRun {
            offset: ByteOffset((at * block) as u64),
            data,
        })
        .collect();
    device.write_batch(&runs).unwrap();
    device.write_batch(&[]).unwrap();
    let mut model = vec![0; device.size().get() as usize];
    for (&at, data) in places.iter().zip(&payloads) {
        model[at * block..][..block].copy_from_slice(data);
    }
    assert!(content(device) == model, "a batch was not stored whole");
}

/// Long and short ones over what was just written, from memory at any address, page by page side by side.
fn long_writes_of_a_batch_are_stored_whole(device: &dyn BlockDevice) {
    const KIB: usize = 1024;
    let block = device.block_size() as usize;
    let size = device.size().get() as usize;
    let mut model = vec![0x33; size];
    device.write(ByteOffset(0), &model).unwrap();
    let mut rng = Rng::new(7);
    for round in 0..4 {
        let mut memory = vec![0; 256 * KIB];
        rng.fill(&mut memory);
        let aligned = memory.as_ptr().align_offset(4096);
        let (even, odd) = (&memory[aligned..], &memory[aligned + 77..]);
        let shift = round * block;
        let mut runs: Vec<(usize, &[u8])> = Vec::new();
        // long, of short ones
        let pieces = even[..72 * KIB].chunks(8 * KIB).enumerate();
        runs.extend(pieces.map(|(index, piece)| (shift + index * 8 * KIB, piece)));
        // short, right behind a hole of one block
        runs.push((shift + 72 * KIB + block, &even[100 * KIB..][..block]));
        // long, from an odd address; then one that shares a page with it
        runs.push((128 * KIB, &odd[..96 * KIB - shift]));
        let next_to_it = 224 * KIB - shift + block;
        runs.push((next_to_it, &even[200 * KIB..][..block]));
        runs.reverse();
        for (at, data) in &runs {
            model[*at..][..data.len()].copy_from_slice(data);
        }
        let runs: Vec<WriteRun<'_>> = runs
            .iter()
            .map(|&(at, data)| WriteRun {
                offset: ByteOffset(at as u64),
                data,
            })
            .collect();
        device.write_batch(&runs).unwrap();
        assert!(content(device) == model, "round {round}");
    }
}

fn foreign_ranges_are_refused_and_change_nothing(device: &dyn BlockDevice) {
    let (size, block) = (device.size().get(), u64::from(device.block_size()));
    let before = content(device);
    let ranges = [
        (size, block),
        (size - block, 2 * block),
        (u64::MAX - block + 1, block),
        (block / 2, block),
        (0, block / 2),
    ];
    for (offset, len) in ranges {
        let mut buffer = vec![9; len as usize];
        assert!(
            device.write(ByteOffset(offset), &buffer).is_err(),
            "write {len} at {offset}"
        );
        assert!(
            device.read(ByteOffset(offset), &mut buffer).is_err(),
            "read {len} at {offset}"
        );
        for unmap in [false, true] {
            let zeroed = device.write_zeroes(ByteOffset(offset), ByteLen(len), unmap);
            assert!(zeroed.is_err(), "zeroes {len} at {offset}");
        }
        let run = WriteRun {
            offset: ByteOffset(offset),
            data: &buffer,
        };
        assert!(
            device.write_batch(&[run]).is_err(),
            "batch {len} at {offset}"
        );
    }
    let everything = device.write_zeroes(ByteOffset(block), ByteLen(u64::MAX - block + 1), true);
    assert!(everything.is_err());
    assert!(
        content(device) == before,
        "a refused request changed something"
    );
}

fn empty_ranges_change_nothing(device: &dyn BlockDevice) {
    let before = content(device);
    for offset in [ByteOffset(0), ByteOffset(device.size().get())] {
        device.write(offset, &[]).unwrap();
        device.read(offset, &mut []).unwrap();
        device.write_zeroes(offset, ByteLen(0), true).unwrap();
        device.discard(offset, ByteLen(0)).unwrap();
    }
    assert!(content(device) == before);
}

fn many_operations_agree_with_a_model(device: &dyn BlockDevice) {
    let block = u64::from(device.block_size());
    let blocks = SIZE_MIN.get() / block;
    let mut model = content(device);
    let mut rng = Rng::new(42);
    for round in 0..400 {
        let first = rng.below(blocks);
        let count = 1 + rng.below((blocks - first).min(24));
        let (offset, len) = (ByteOffset(first * block), ByteLen(count * block));
        let range = &mut model[offset.get() as usize..][..len.get() as usize];
        match rng.below(4) {
            0 => {
                device.write_zeroes(offset, len, rng.chance(2)).unwrap();
                range.fill(0);
            }
            1 => {
                device.discard(offset, len).unwrap();
                range.fill(0);
            }
            _ => {
                rng.fill(range);
                device.write(offset, range).unwrap();
            }
        }
        if rng.chance(16) {
            device.sync().unwrap();
        }
        let mut read = vec![0; len.get() as usize];
        device.read(offset, &mut read).unwrap();
        assert!(
            read == model[offset.get() as usize..][..read.len()],
            "round {round}"
        );
    }
    assert!(content(device) == model);
}

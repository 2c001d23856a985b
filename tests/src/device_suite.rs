//! What every [`BlockDevice`] must do, as tests that run on all of them.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::ops::Range;
use std::sync::Arc;

use aim_core::device::{BlockDevice, WriteBatch};
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
    the_later_one_of_two_batches_counts(device);
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
    let mut memory = vec![0; 41 * block];
    let mut model = vec![0; device.size().get() as usize];
    for at in places {
        memory[at * block..][..block].fill(at as u8 + 1);
        model[at * block..][..block].fill(at as u8 + 1);
    }
    let writes = places.map(|at| (at * block, at * block..(at + 1) * block));
    device.write_behind(batch(&memory, writes)).unwrap();
    device.write_behind(batch(&memory, [])).unwrap();
    device.settle().unwrap();
    assert!(content(device) == model, "a batch was not stored whole");
}

/// Writes of ranges of a copy of `memory` that begins at a page.
fn batch(memory: &[u8], writes: impl IntoIterator<Item = (usize, Range<usize>)>) -> WriteBatch {
    let mut copy = vec![0; memory.len() + 4096];
    let start = copy.as_ptr().align_offset(4096);
    copy[start..][..memory.len()].copy_from_slice(memory);
    let writes = writes.into_iter().map(|(offset, place)| {
        let place = start + place.start..start + place.end;
        (ByteOffset(offset as u64), place)
    });
    WriteBatch::new(Arc::new(copy), writes)
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
        let even = memory.as_ptr().align_offset(4096);
        let odd = even + 77;
        let shift = round * block;
        let mut writes: Vec<(usize, Range<usize>)> = Vec::new();
        let mut write = |at, place: usize, len| writes.push((at, place..place + len));
        // long, of short ones
        for at in (0..72 * KIB).step_by(8 * KIB) {
            write(shift + at, even + at, 8 * KIB);
        }
        // short, right behind a hole of one block
        write(shift + 72 * KIB + block, even + 100 * KIB, block);
        // long, from an odd address; then one that shares a page with it
        write(128 * KIB, odd, 96 * KIB - shift);
        write(224 * KIB - shift + block, even + 200 * KIB, block);
        writes.reverse();
        for (at, place) in &writes {
            model[*at..][..place.len()].copy_from_slice(&memory[place.clone()]);
        }
        let writes = writes.into_iter();
        let writes = writes.map(|(at, place)| (ByteOffset(at as u64), place));
        device
            .write_behind(WriteBatch::new(Arc::new(memory), writes))
            .unwrap();
        device.settle().unwrap();
        assert!(content(device) == model, "round {round}");
    }
}

/// Batches of long and short writes, each over parts of the one before, which may be under way.
fn the_later_one_of_two_batches_counts(device: &dyn BlockDevice) {
    let block = device.block_size() as usize;
    let size = device.size().get() as usize;
    let mut model = content(device);
    let mut rng = Rng::new(11);
    for round in 0..64 {
        let memory = (0..size).map(|_| round as u8 + 1).collect::<Vec<u8>>();
        let mut writes = Vec::new();
        let mut at = rng.below(4) as usize * block;
        while at < size {
            let most = match rng.below(4) {
                0 => 4 * block,
                _ => size / 2,
            };
            let len = (1 + rng.below((most / block) as u64) as usize) * block;
            let len = len.min(size - at);
            model[at..at + len].copy_from_slice(&memory[at..at + len]);
            writes.push((at, at..at + len));
            at += len + rng.below(8) as usize * block;
        }
        device.write_behind(batch(&memory, writes)).unwrap();
        if rng.chance(8) {
            device.settle().unwrap();
            assert!(content(device) == model, "round {round}");
        }
    }
    device.settle().unwrap();
    assert!(content(device) == model);
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
        let foreign = batch(&buffer, [(offset as usize, 0..buffer.len())]);
        let written = device.write_behind(foreign).and_then(|()| device.settle());
        assert!(written.is_err(), "batch {len} at {offset}");
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

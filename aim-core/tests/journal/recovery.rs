//! What crashes leave of an open file, and what of it is kept.

use std::io;
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Iocb;
use aim_core::fs::Directory;
use aim_core::journal::{
    FileName, OpenFile, Recovered, SealedFile, VerifiedFile, WriteError, recover,
};
use aim_core::units::{Lsn, Timestamp};
use aim_tests::{MemFileSystem, Power};

use crate::sample::{self, Owned};

const NOW: Timestamp = Timestamp(sample::T0 + 1_000_000_000);

/// Recovers what is there, seals it and reads it; nothing if there was no record.
fn recovered(dir: &dyn Directory, name: FileName) -> Vec<(Iocb, Vec<u8>)> {
    let sealed = match recover(dir, name).unwrap() {
        Recovered::Empty => return Vec::new(),
        Recovered::Sealed(sealed) => sealed,
        Recovered::Open(file) => file.seal(NOW).unwrap(),
    };
    verified(dir, &sealed)
}

fn verified(dir: &dyn Directory, sealed: &SealedFile) -> Vec<(Iocb, Vec<u8>)> {
    let file = dir.open(&sealed.name.open(), false).unwrap();
    let file = VerifiedFile::open(file).unwrap();
    assert_eq!(file.sealed(), *sealed);
    sample::content(&file)
}

fn writes(count: usize) -> Vec<Owned> {
    let write = |i| Owned::write(512 * i as u64, sample::bytes(i as u8, 512 + 512 * (i % 3)));
    (0..count).map(write).collect()
}

/// An open file without the zeroes that it has behind its data.
fn content(dir: &dyn Directory, file: &OpenFile) -> Vec<u8> {
    let mut whole = sample::read(dir, &file.name().open());
    let ahead = whole.split_off(file.bytes().get() as usize);
    assert!(ahead.iter().all(|byte| *byte == 0));
    whole
}

#[test]
fn every_cut_of_an_open_file_leaves_a_prefix() {
    let dir = sample::folder();
    let records = sample::every_kind();
    let file = sample::opened(&*dir, Position::START, &records);
    let name = file.name();
    let whole = content(&*dir, &file);
    let expected = recovered(&*dir, name);
    assert_eq!(expected.len(), records.len());
    let mut longest = 0;
    for len in 0..=whole.len() {
        let dir = sample::folder();
        sample::put(&*dir, &name.open(), &whole[..len]);
        let kept = recovered(&*dir, name);
        assert_eq!(kept, expected[..kept.len()], "{len} bytes");
        assert!(kept.len() >= longest, "more bytes, fewer records");
        longest = kept.len();
    }
    assert_eq!(longest, records.len());
}

#[test]
fn a_damaged_record_ends_what_is_kept() {
    let dir = sample::folder();
    let records = sample::every_kind();
    let file = sample::opened(&*dir, Position::START, &records);
    let name = file.name();
    let whole = content(&*dir, &file);
    let expected = recovered(&*dir, name);
    for at in 4096..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let dir = sample::folder();
        sample::put(&*dir, &name.open(), &bytes);
        let kept = recovered(&*dir, name);
        let damaged = expected.iter().position(|(iocb, payload)| {
            let slot = 4096 + 64 * (iocb.lsn.get() as usize - 1);
            let place = iocb.payload.map_or(0, |payload| payload.place as usize);
            (slot..slot + 64).contains(&at) || (place..place + payload.len()).contains(&at)
        });
        assert_eq!(kept.len(), damaged.unwrap_or(records.len()), "byte {at}");
    }
}

#[test]
fn an_iocb_whose_payload_did_not_come_along_is_not_believed() {
    let dir = sample::folder();
    let records = writes(5);
    let mut file = sample::opened(&*dir, Position::START, &records[..2]);
    let (name, data_end) = (file.name(), file.bytes().get() as usize);
    let before = sample::read(&*dir, &name.open());
    file.append(&sample::numbered(3, &records[2..])).unwrap();
    let whole = sample::read(&*dir, &name.open());
    let data = data_end..file.bytes().get() as usize;
    // 1536, 512 and 1024 bytes
    let third = data.start..data.start + 1536;
    let fifth = data.end - 1024..data.end;
    let left_by = |fill: &dyn Fn(&mut [u8])| {
        let mut bytes = whole.clone();
        bytes[data.clone()].copy_from_slice(&before[data.clone()]);
        fill(&mut bytes);
        let dir = sample::folder();
        sample::put(&*dir, &name.open(), &bytes);
        recovered(&*dir, name).len()
    };
    assert_eq!(left_by(&|_| {}), 2, "zeroes");
    let stale = sample::bytes(99, data.len());
    assert_eq!(
        left_by(&|bytes| bytes[data.clone()].copy_from_slice(&stale)),
        2
    );
    let earlier = &whole[data.start - 512..data.end - 512];
    assert_eq!(
        left_by(&|bytes| bytes[data.clone()].copy_from_slice(earlier)),
        2
    );
    let some = |parts: &[&std::ops::Range<usize>]| {
        left_by(&|bytes| {
            for part in parts {
                bytes[(*part).clone()].copy_from_slice(&whole[(*part).clone()]);
            }
        })
    };
    assert_eq!(some(&[&fifth]), 2);
    assert_eq!(some(&[&third, &fifth]), 3);
    assert_eq!(some(&[&data]), 5);
}

#[test]
fn what_another_file_left_in_the_same_blocks_is_not_taken_up() {
    let dir = sample::folder();
    let before = sample::opened(&*dir, Position::START, &writes(20));
    let left = sample::read(&*dir, &before.name().open());
    let sealed = before.seal(NOW).unwrap();
    let file = sample::opened(&*dir, sealed.position, &writes(3));
    let name = file.name();
    let mut bytes = sample::read(&*dir, &name.open());
    // the IOCBs of the file before behind its own, and its payloads behind its own
    bytes.resize(left.len(), 0);
    let own_end = 4096 + 3 * 64;
    bytes[own_end..8192].copy_from_slice(&left[own_end..8192]);
    let data_end = file.bytes().get() as usize;
    bytes[data_end..].copy_from_slice(&left[data_end..]);
    sample::put(&*dir, &name.open(), &bytes);
    assert_eq!(recovered(&*dir, name).len(), 3);
}

#[test]
fn a_recovered_file_takes_more_records() {
    let dir = sample::folder();
    let records = writes(70);
    let spec = aim_core::journal::OpenSpec {
        iocb_capacity: 128,
        ..sample::spec(Position::START)
    };
    let mut file = OpenFile::create(&*dir, &spec).unwrap();
    let all = sample::numbered(1, &records);
    file.append(&all[..66]).unwrap();
    let name = file.name();
    drop(file);
    let Recovered::Open(mut file) = recover(&*dir, name).unwrap() else {
        panic!("records are there");
    };
    assert_eq!((file.last_lsn(), file.durable_lsn()), (Lsn(66), Lsn(0)));
    file.append(&all[66..]).unwrap();
    assert_eq!(file.sync().unwrap(), Lsn(70));
    let content = verified(&*dir, &file.seal(NOW).unwrap());
    let payloads: Vec<&[u8]> = content.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(payloads, all.iter().map(|r| r.payload).collect::<Vec<_>>());
}

#[test]
fn a_sealed_file_without_its_name_is_published() {
    let dir = sample::folder();
    let file = sample::opened(&*dir, Position::START, &writes(2));
    let sealed = file.seal(NOW).unwrap();
    let Recovered::Sealed(found) = recover(&*dir, sealed.name).unwrap() else {
        panic!("it is sealed");
    };
    assert_eq!(found, sealed);
    found.publish(&*dir, &*dir).unwrap();
    found.publish(&*dir, &*dir).unwrap();
    assert_eq!(dir.list().unwrap(), [sealed.name.sealed()]);
}

#[test]
fn a_file_that_can_not_be_taken_up_is_kept() {
    let dir = sample::folder();
    let file = sample::opened(&*dir, Position::START, &writes(2));
    let name = file.name();
    let mut bytes = sample::read(&*dir, &name.open());
    bytes[300] ^= 1;
    sample::put(&*dir, &name.open(), &bytes);
    assert!(recover(&*dir, name).is_err());
    bytes[300] ^= 1;
    let other = FileName {
        number: name.number.next(),
        ..name
    };
    sample::put(&*dir, &other.open(), &bytes);
    assert!(recover(&*dir, other).is_err());
    assert_eq!(dir.list().unwrap().len(), 2);
}

/// Appends in batches with a sync after every second one, and seals; says what was promised.
fn write_all(dir: &dyn Directory, records: &[Owned]) -> Result<SealedFile, (Lsn, WriteError)> {
    let made = OpenFile::create(dir, &sample::spec(Position::START));
    let mut file = made.map_err(|error| (Lsn(0), error))?;
    for (index, batch) in sample::numbered(1, records).chunks(3).enumerate() {
        let appended = file.append(batch);
        appended.map_err(|error| (file.durable_lsn(), error))?;
        if index % 2 == 1 {
            file.sync().map_err(|error| (file.durable_lsn(), error))?;
        }
    }
    let durable = file.durable_lsn();
    file.seal(NOW).map_err(|error| (durable, error))
}

#[test]
fn a_power_cut_at_any_step_keeps_what_was_synced() {
    let records = writes(20);
    let power = Power::steady();
    write_all(&*MemFileSystem::new(power.clone()).folder("/j"), &records).unwrap();
    let steps = power.steps();
    let name = sample::opened(&*sample::folder(), Position::START, &[]).name();
    for cut in 1..=steps {
        for seed in 0..12 {
            let power = Power::steady();
            power.cut_at(cut);
            let file_system = MemFileSystem::new(power.clone());
            let dir = file_system.folder("/j");
            let (promised, _) = write_all(&*dir, &records).unwrap_err();
            file_system.crash(seed);
            power.restore();
            let kept = match dir.list().unwrap().is_empty() {
                true => Vec::new(),
                false => recovered(&*dir, name),
            };
            assert!(
                kept.len() as u64 >= promised.get(),
                "step {cut}, seed {seed}"
            );
            for ((_, payload), record) in kept.iter().zip(&records) {
                assert_eq!(*payload, record.payload, "step {cut}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_full_disk_counts_nothing_and_the_batch_may_be_repeated() {
    let records = writes(9);
    let expected = {
        let dir = sample::folder();
        let sealed = write_all(&*dir, &records).unwrap();
        sample::read(&*dir, &sealed.name.open())
    };
    let mut repeated = 0;
    // three batches, each of payloads, IOCBs and sync
    for step in 1..=9 {
        let power = Power::steady();
        let dir: Arc<dyn Directory> = MemFileSystem::new(power.clone()).folder("/j");
        let mut file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
        power.fail_at(power.steps() + step, io::ErrorKind::StorageFull);
        let mut failed = false;
        for batch in sample::numbered(1, &records).chunks(3) {
            let before = (file.count(), file.last_lsn(), file.bytes());
            if let Err(error) = file.append(batch) {
                assert!(error.is_out_of_space() && !file.is_poisoned());
                assert_eq!((file.count(), file.last_lsn(), file.bytes()), before);
                repeated += 1;
                // a smaller one first, so that the rest of the failed one is stale
                file.append(&batch[..1]).unwrap();
                file.append(&batch[1..]).unwrap();
            }
            if file.sync().is_err() {
                failed = true;
                break;
            }
        }
        if failed {
            assert!(file.is_poisoned());
            let refused = file.append(&sample::numbered(10, &records)[..1]);
            assert!(matches!(refused, Err(WriteError::Poisoned { .. })));
            continue;
        }
        let sealed = file.seal(NOW).unwrap();
        assert_eq!(sample::read(&*dir, &sealed.name.open()), expected);
    }
    assert_eq!(repeated, 6);
}

/// Appends to a file of two records three more, of which one of the two writes has no room: the
/// first or the second, payloads or IOCBs first.
fn append_without_room(step: u64, idle: u64) -> (Arc<dyn Directory>, OpenFile) {
    let power = Power::steady();
    let dir = MemFileSystem::new(power.clone()).folder("/j");
    let records = writes(5);
    let mut file = sample::opened(&*dir, Position::START, &records[..2]);
    (0..idle).for_each(|_| dir.sync().unwrap());
    power.fail_at(power.steps() + step, io::ErrorKind::StorageFull);
    let refused = file.append(&sample::numbered(3, &records[2..]));
    assert!(refused.unwrap_err().is_out_of_space());
    (dir, file)
}

#[test]
fn what_a_failed_append_left_is_gone_when_the_file_is_sealed() {
    let expected = writes(5);
    let mut left = Vec::new();
    for (step, idle) in [(1, 0), (1, 2), (2, 0), (2, 2)] {
        let (dir, file) = append_without_room(step, idle);
        let bytes = sample::read(&*dir, &file.name().open());
        let is_stale = bytes[4096 + 128..8192].iter().any(|byte| *byte != 0);
        assert_eq!(verified(&*dir, &file.seal(NOW).unwrap()).len(), 2);
        // or the process dies before: what is whole of it counts
        let (dir, file) = append_without_room(step, idle);
        let name = file.name();
        drop(file);
        let kept = recovered(&*dir, name);
        for ((_, payload), record) in kept.iter().zip(&expected) {
            assert_eq!(*payload, record.payload);
        }
        left.push((is_stale, kept.len()));
    }
    left.sort();
    // half of the payloads; half of the IOCBs; all of those, and half of the others
    assert_eq!(left, [(false, 2), (true, 2), (true, 3), (true, 5)]);
}

#[test]
fn what_a_failed_append_left_is_gone_before_the_next_append() {
    let small = |count: u8| (0..count).map(|i| Owned::write(512, sample::bytes(i, 512)));
    let long = [Owned::write(0, sample::bytes(1, 256 << 10))];
    let records: Vec<Owned> = small(100).chain(long).collect();
    let spec = aim_core::journal::OpenSpec {
        iocb_capacity: 128,
        target_size: aim_core::units::ByteLen(1 << 20),
        ..sample::spec(Position::START)
    };
    let mut furthest = 0;
    for (step, idle) in [(1, 0), (1, 2), (2, 0), (2, 2)] {
        let power = Power::steady();
        let dir = MemFileSystem::new(power.clone()).folder("/j");
        let mut file = OpenFile::create(&*dir, &spec).unwrap();
        (0..idle).for_each(|_| dir.sync().unwrap());
        power.fail_at(power.steps() + step, io::ErrorKind::StorageFull);
        assert!(file.append(&sample::numbered(1, &records)).is_err());
        let name = file.name();
        let ahead = recover(&*dir, name);
        if let Ok(Recovered::Open(file)) = ahead {
            furthest = furthest.max(file.count());
        }
        // what is whole in a page of IOCBs of its own must not follow what is appended now
        file.append(&sample::numbered(1, &records[..64])).unwrap();
        drop(file);
        assert_eq!(recovered(&*dir, name).len(), 64, "step {step}, idle {idle}");
    }
    assert_eq!(furthest, 100, "all but the long one were there once");
}

#[test]
fn other_errors_end_the_file() {
    for ahead in 1..=2 {
        let power = Power::steady();
        let dir = MemFileSystem::new(power.clone()).folder("/j");
        let records = writes(4);
        let mut file = sample::opened(&*dir, Position::START, &records[..2]);
        power.fail_at(power.steps() + ahead, io::ErrorKind::Other);
        let failed = file.append(&sample::numbered(3, &records[2..]));
        assert!(matches!(failed, Err(WriteError::Io { .. })));
        assert!(matches!(file.sync(), Err(WriteError::Poisoned { .. })));
        assert!(matches!(file.seal(NOW), Err(WriteError::Poisoned { .. })));
    }
}

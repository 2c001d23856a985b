//! What is written is read again; what does not belong is refused.

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::journal::{OpenFile, ParsedFile, Record, VerifiedFile, WriteError};
use aim_core::units::{ByteLen, FileNumber, Lsn, Timestamp};

use crate::sample::{self, Owned, T0};

#[test]
fn every_kind_of_record_comes_back() {
    let dir = sample::folder();
    let records = sample::every_kind();
    let sealed = sample::sealed(&*dir, Position::START, &records);
    assert_eq!(dir.list().unwrap(), [sealed.name.sealed()]);
    let bytes = sample::read(&*dir, &sealed.name.sealed());
    assert_eq!(bytes.len() as u64, sealed.bytes.get());

    let file = VerifiedFile::open(sample::file(&bytes)).unwrap();
    assert_eq!(file.sealed(), sealed);
    assert_eq!(file.position().lsn, Lsn(records.len() as u64));
    assert_eq!(file.header().volume, sample::volume());
    let content = sample::content(&file);
    assert_eq!(content.len(), records.len());
    for ((lsn, owned), (iocb, payload)) in (1..).zip(&records).zip(&content) {
        let record = owned.as_record(lsn);
        assert_eq!((iocb.lsn, iocb.device), (record.lsn, record.device));
        assert_eq!((iocb.kind, iocb.fua), (record.kind, record.fua));
        assert_eq!((iocb.offset, iocb.len), (record.offset, record.len));
        assert_eq!(
            (iocb.time, payload.as_slice()),
            (record.time, record.payload)
        );
    }
}

#[test]
fn batches_of_any_size_give_the_same_file() {
    let records: Vec<Owned> = (0..60)
        .map(|i| Owned::write(512 * i, sample::bytes(i as u8, 512)))
        .collect();
    let whole = sample::folder();
    let expected = sample::sealed(&*whole, Position::START, &records);
    for batch in [1, 7, 59] {
        let dir = sample::folder();
        let mut file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
        for part in sample::numbered(1, &records).chunks(batch) {
            file.append(part).unwrap();
            assert_eq!(file.sync().unwrap(), file.last_lsn());
        }
        let sealed = file.seal(Timestamp(T0 + 60_000_500)).unwrap();
        assert_eq!(sealed, expected);
        assert_eq!(
            sample::read(&*dir, &sealed.name.open()),
            sample::read(&*whole, &expected.name.sealed())
        );
    }
}

#[test]
fn a_file_is_full_by_records_and_by_bytes() {
    let dir = sample::folder();
    let spec = aim_core::journal::OpenSpec {
        target_size: ByteLen(12 << 10),
        ..sample::spec(Position::START)
    };
    let mut file = OpenFile::create(&*dir, &spec).unwrap();
    assert!(file.has_room(ByteLen(1 << 20)), "one payload always fits");
    let block = Owned::write(0, sample::bytes(0, 2048));
    let blocks = vec![block; 4];
    let records = sample::numbered(1, &blocks);
    assert_eq!(file.fitting(&records), 2);
    assert!(matches!(
        file.append(&records),
        Err(WriteError::Full { .. })
    ));
    file.append(&records[..2]).unwrap();
    assert!(!file.has_room(ByteLen(512)));
    assert!(file.has_room(ByteLen(0)));
    let flushes = vec![Owned::range(Kind::Flush, 0, 0); 63];
    let flushes = sample::numbered(3, &flushes);
    assert_eq!(file.fitting(&flushes), 62);
    file.append(&flushes[..62]).unwrap();
    assert!(!file.has_room(ByteLen(0)));
    assert_eq!(file.seal(Timestamp(0)).unwrap().position.lsn, Lsn(64));
}

#[test]
fn records_that_do_not_fit_change_nothing() {
    let dir = sample::folder();
    let mut file = sample::opened(&*dir, Position::START, &[Owned::write(0, vec![7; 512])]);
    let before = sample::read(&*dir, &file.name().open());
    let good = Owned::write(0, vec![1; 512]);
    let unaligned = Owned::write(100, vec![1; 512]);
    let outside = Owned::range(Kind::Discard, 1 << 20, 512);
    let no_device = Owned {
        device: 2,
        ..good.clone()
    };
    let short = Owned {
        len: 1024,
        ..good.clone()
    };
    let wrong_block = Owned {
        device: 1,
        ..good.clone()
    };
    let flush_of_range = Owned::range(Kind::Flush, 0, 512);
    let empty = Owned::range(Kind::Discard, 0, 0);
    let too_long = Owned::range(Kind::WriteZeroes { unmap: true }, 0, u64::MAX - 511);
    for bad in [
        unaligned,
        outside,
        no_device,
        short,
        wrong_block,
        flush_of_range,
        empty,
        too_long,
    ] {
        let batch = [good.as_record(2), bad.as_record(3)];
        assert!(matches!(
            file.append(&batch),
            Err(WriteError::Record { lsn: Lsn(3), .. })
        ));
    }
    for lsn in [0, 1, 3, u64::MAX] {
        let gap = file.append(&[Record {
            lsn: Lsn(lsn),
            ..good.as_record(2)
        }]);
        assert!(matches!(gap, Err(WriteError::Record { .. })));
    }
    assert_eq!(sample::read(&*dir, &file.name().open()), before);
    file.append(&[good.as_record(2)]).unwrap();
}

#[test]
fn times_never_go_back() {
    let dir = sample::folder();
    let spec = aim_core::journal::OpenSpec {
        floor: Timestamp(T0 + 9),
        created: Timestamp(T0),
        ..sample::spec(Position::START)
    };
    let mut file = OpenFile::create(&*dir, &spec).unwrap();
    let flush = Owned::range(Kind::Flush, 0, 0);
    let at = |lsn, time| Record {
        time: Timestamp(T0 + time),
        ..flush.as_record(lsn)
    };
    file.append(&[at(1, 3), at(2, 20), at(3, 15)]).unwrap();
    let sealed = file.seal(Timestamp(0)).unwrap();
    assert_eq!(sealed.last_time, Timestamp(T0 + 20));
    let file = VerifiedFile::open(dir.open(&sealed.name.open(), false).unwrap()).unwrap();
    let times: Vec<u64> = file.records().iter().map(|r| r.time.get() - T0).collect();
    assert_eq!(times, [9, 20, 20]);
    assert_eq!(file.header().created, Timestamp(T0 + 9));
}

#[test]
fn an_open_file_is_parsed_and_not_verified() {
    let dir = sample::folder();
    let file = sample::opened(&*dir, Position::START, &sample::every_kind());
    let content = sample::read(&*dir, &file.name().open());
    let parsed = ParsedFile::open(sample::file(&content)).unwrap();
    assert!(!parsed.is_sealed());
    assert_eq!(parsed.iocbs().unwrap().len(), sample::every_kind().len());
    assert!(parsed.verify().is_err());
}

#[test]
fn an_empty_file_is_removed_and_an_impossible_one_not_made() {
    let dir = sample::folder();
    let file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
    file.remove(&*dir).unwrap();
    assert!(dir.list().unwrap().is_empty());
    let file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
    assert!(matches!(
        file.seal(Timestamp(0)),
        Err(WriteError::Empty { .. })
    ));
    let gap = Position {
        file: FileNumber(5),
        lsn: Lsn(2),
        ..Position::START
    };
    let made = OpenFile::create(&*dir, &sample::spec(gap));
    assert!(matches!(made, Err(WriteError::Spec { .. })));
}

#[test]
fn zeroes_are_ahead_of_the_data_only_where_syncs_come_often() {
    let power = aim_tests::Power::steady();
    let dir = aim_tests::MemFileSystem::new(power.clone()).folder("/open");
    let mut file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
    let mut writes_of = |sectors: usize| {
        let owned = [Owned::write(0, sample::bytes(7, 512 * sectors))];
        let lsn = file.last_lsn().get() + 1;
        file.append(&sample::numbered(lsn, &owned)).unwrap();
        file.sync().unwrap();
        let before = power.steps();
        file.write_ahead().unwrap();
        power.steps() - before
    };
    // once for many of them
    assert_eq!([(); 20].map(|()| writes_of(1)).iter().sum::<u64>(), 1);
    assert_eq!(writes_of(400), 0, "200 KiB at once");
    assert_eq!(writes_of(1), 1);
    // what follows goes where the zeroes were
    let expected = sample::bytes(7, 512);
    let sealed = file.seal(Timestamp(T0)).unwrap();
    let sealed = sealed
        .publish(&*dir, &*dir)
        .map(|()| sealed.name.sealed())
        .unwrap();
    let file = VerifiedFile::open(dir.open(&sealed, false).unwrap()).unwrap();
    for iocb in file.records() {
        let mut payload = vec![0; iocb.stored_size() as usize];
        file.read_payload(iocb, &mut payload).unwrap();
        assert_eq!(payload[..512], expected);
    }
    assert_eq!(file.records().len(), 22);
}

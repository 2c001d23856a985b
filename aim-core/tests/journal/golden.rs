//! Files of format version 1 as they were written when it was laid down: they are read to the
//! same records for ever, and the same records are written to the same bytes.
//!
//! `AIM_WRITE_GOLDEN=1 cargo test -p aim-core --test journal golden` writes files that are
//! missing, and no others: a committed file never changes.

use std::path::PathBuf;
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::{Iocb, Kind};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{
    FileName, OpenFile, OpenSpec, Recovered, VerifiedFile, recover, verify_chain,
};
use aim_core::units::{Epoch, FileNumber, Lsn, Timestamp};

use crate::sample::{self, Owned, T0};

/// Files without groups.
const SET: &str = "v1";

/// Golden files of this set.
pub(crate) fn folder(set: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden").join(set)
}

/// Two sealed files, the second after a promotion, and an open one behind them.
struct Series {
    dir: Arc<dyn Directory>,
    names: [String; 3],
    records: [Vec<Owned>; 3],
}

fn series() -> Series {
    let dir = sample::folder();
    let records = [
        sample::every_kind(),
        vec![Owned::range(Kind::Flush, 0, 0)],
        vec![Owned::write(1024, sample::bytes(9, 1536))],
    ];
    let first = sample::sealed(&*dir, Position::START, &records[0]);
    let promoted = |after: Position, records: &[Owned]| {
        let spec = OpenSpec {
            volume: VolumeIdentity {
                epoch: Epoch(2),
                ..sample::volume()
            },
            ..sample::spec(after)
        };
        let mut file = OpenFile::create(&*dir, &spec).unwrap();
        let next = after.lsn.next().get();
        file.append(&sample::numbered(next, records)).unwrap();
        file
    };
    let second = promoted(first.position, &records[1]);
    let second = second.seal(Timestamp(T0 + 20_000_000)).unwrap();
    second.publish(&*dir, &*dir).unwrap();
    let third = promoted(second.position, &records[2]).name();
    let names = [first.name.sealed(), second.name.sealed(), third.open()];
    Series {
        dir,
        names,
        records,
    }
}

fn golden(name: &str) -> Vec<u8> {
    golden_of(SET, name)
}

pub(crate) fn golden_of(set: &str, name: &str) -> Vec<u8> {
    let path = folder(set).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_files_are_written_to_the_same_bytes() {
    let series = series();
    assert_written(SET, &*series.dir, &series.names);
}

/// The files of these names in `dir` are those of the set, and the set has no others.
pub(crate) fn assert_written(set: &str, dir: &dyn Directory, names: &[String]) {
    for name in names {
        let written = sample::read(dir, name);
        let path = folder(set).join(name);
        if std::env::var_os("AIM_WRITE_GOLDEN").is_some() && !path.exists() {
            std::fs::create_dir_all(folder(set)).unwrap();
            std::fs::write(&path, &written).unwrap();
        }
        let golden = golden_of(set, name);
        // an open file may be longer than its data
        let (used, ahead) = written.split_at(golden.len().min(written.len()));
        let is_open = aim_core::journal::FileName::parse_open(name).is_ok();
        assert!(golden == used, "{name} would be written differently");
        assert!(ahead.iter().all(|byte| is_open && *byte == 0), "{name}");
    }
    let mut kept: Vec<String> = HostDirectory::open(folder(set)).unwrap().list().unwrap();
    kept.sort();
    assert_eq!(kept, names);
}

#[test]
fn golden_files_are_read_to_the_same_records() {
    let series = series();
    let mut lsn = 1;
    for (name, records) in series.names.iter().zip(&series.records).take(2) {
        let file = VerifiedFile::open(sample::file(&golden(name))).unwrap();
        assert_eq!(file.name().sealed(), *name);
        let content = sample::content(&file);
        assert_records(&content, lsn, records);
        lsn += records.len() as u64;
    }
    let name = &series.names[2];
    let dir = sample::folder();
    sample::put(&*dir, name, &golden(name));
    let name = FileName::parse_open(name).unwrap();
    let Recovered::Open(file) = recover(&*dir, name).unwrap() else {
        panic!("it holds a record");
    };
    let sealed = file.seal(Timestamp(T0 + 30_000_000)).unwrap();
    let file = dir.open(&sealed.name.open(), false).unwrap();
    let content = sample::content(&VerifiedFile::open(file).unwrap());
    assert_records(&content, lsn, &series.records[2]);
}

pub(crate) fn assert_records(content: &[(Iocb, Vec<u8>)], first_lsn: u64, records: &[Owned]) {
    assert_eq!(content.len(), records.len());
    for ((lsn, owned), (iocb, payload)) in (first_lsn..).zip(records).zip(content) {
        let record = owned.as_record(lsn);
        assert_eq!((iocb.lsn, iocb.time), (Lsn(lsn), record.time));
        assert_eq!(
            (iocb.device, iocb.kind, iocb.fua),
            (owned.device, owned.kind, owned.fua)
        );
        assert_eq!((iocb.offset, iocb.len), (record.offset, record.len));
        assert_eq!(*payload, owned.payload);
    }
}

#[test]
fn golden_files_are_one_series() {
    let dir = HostDirectory::open(folder(SET)).unwrap();
    let report = verify_chain(&*dir, sample::volume().id, Some(Position::START)).unwrap();
    assert!(report.is_whole());
    let end = report.whole_to.unwrap();
    assert_eq!(
        (end.epoch, end.file, end.lsn),
        (Epoch(2), FileNumber(2), Lsn(10))
    );
}

/// The numbers are those of `docs/format.md`, not of the code.
#[test]
fn fields_are_where_the_specification_says() {
    let bytes = golden(&series().names[0]);
    let number = |at: usize, size: usize| {
        let mut le = [0; 8];
        le[..size].copy_from_slice(&bytes[at..at + size]);
        u64::from_le_bytes(le)
    };
    let second = golden(&series().names[1]);
    assert_eq!(bytes[..8], *b"\x89AIM\r\n\x1a\n");
    for (at, size, value) in [
        (8, 4, 1),
        (12, 4, 4096),
        (16, 8, 0),
        (24, 8, 0),
        (32, 4, 2),
        (36, 4, 1),
        (40, 8, 1),
        (48, 8, 1),
        (56, 8, 9),
        (144, 8, bytes.len() as u64),
        (152, 8, 4096),
        (160, 8, 64),
        (168, 8, 9),
        (176, 8, 8192),
        (184, 8, 512 + 1024 + 4096),
        (192, 8, T0),
        (200, 8, T0 + 9_000_500),
        (208, 4, 2),
        (512 + 16, 8, 1 << 20),
        (512 + 24, 4, 512),
        (512 + 32 + 16, 8, 64 << 20),
        (512 + 32 + 24, 4, 4096),
        // the second IOCB: a write with FUA
        (4096 + 64, 8, 2),
        (4096 + 64 + 8, 2, 0),
        (4096 + 64 + 10, 1, 1),
        (4096 + 64 + 11, 1, 1),
        (4096 + 64 + 16, 8, 4096),
        (4096 + 64 + 24, 8, 1024),
        (4096 + 64 + 32, 8, 8192 + 512),
        (4096 + 64 + 40, 4, 1024),
        (4096 + 64 + 44, 4, 0),
        (4096 + 64 + 56, 8, T0 + 2_000_000),
        // the fifth: write zeroes with FUA that must stay allocated
        (4096 + 4 * 64 + 10, 1, 2),
        (4096 + 4 * 64 + 11, 1, 3),
    ] {
        assert_eq!(number(at, size), value, "{size} bytes at {at}");
    }
    assert_eq!(bytes[64..80], [0xa1; 16], "volume");
    assert_eq!(bytes[80..112], [0; 32], "previous digest");
    assert_eq!(bytes[112..144], second[80..112], "digest");
    assert_eq!(bytes[512..528], [0xd0; 16], "first device");
    assert_checksums(&bytes);
}

/// The check values, computed as the specification says and without the code under test.
fn assert_checksums(bytes: &[u8]) {
    let at = |place: usize, size: usize| &bytes[place..place + size];
    let zeroed = |mut part: Vec<u8>, place: usize, size: usize| {
        part[place..place + size].fill(0);
        part
    };
    let header = zeroed(at(0, 4096).to_vec(), 504, 8);
    assert_eq!(
        xxhash_rust::xxh3::xxh3_64(&header).to_le_bytes(),
        at(504, 8)
    );
    let sealed = [zeroed(header, 112, 32), at(4096, 9 * 64).to_vec()].concat();
    assert_eq!(blake3::hash(&sealed).as_bytes(), at(112, 32));
    let seed = xxhash_rust::xxh3::xxh3_64(&[at(64, 16), at(36, 4), at(40, 8)].concat());
    let iocb = zeroed(at(4096 + 64, 64).to_vec(), 12, 4);
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&iocb, seed).to_le_bytes();
    assert_eq!(checksum[..4], *at(4096 + 64 + 12, 4));
    let payload = xxhash_rust::xxh3::xxh3_64(at(8192 + 512, 1024));
    assert_eq!(payload.to_le_bytes(), at(4096 + 64 + 48, 8));
}

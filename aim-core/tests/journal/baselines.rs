//! Baselines: what the bytes are, where one can begin and end, and who may take up a series there.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::{Header, IocbError, Kind};
use aim_core::fs::Directory;
use aim_core::journal::{
    LinkError, OpenFile, ParsedFile, ReadError, SealedFile, VerifiedFile, WriteError, check_step,
};
use aim_core::units::{Epoch, FileNumber, Lsn};

use crate::golden::{assert_records, assert_written, golden_of};
use crate::sample::{self, Owned};

/// Files with baselines.
const SET: &str = "v1-baselines";

fn begin() -> Owned {
    Owned::range(Kind::BaselineBegin, 0, 0)
}

fn end(begin: u64) -> Owned {
    Owned::range(Kind::BaselineEnd { begin: Lsn(begin) }, 0, 0)
}

fn group(begins: bool) -> Owned {
    let kind = match begins {
        true => Kind::GroupBegin { hole: false },
        false => Kind::GroupEnd,
    };
    Owned::range(kind, 0, 0)
}

fn flush() -> Owned {
    Owned::range(Kind::Flush, 0, 0)
}

/// A baseline from LSN 2 in the second file to LSN 7 in the fourth, with a group in it that begins
/// in the second; one that is given up, of LSN 9, and one that begins and ends in the last file.
fn records() -> [Vec<Owned>; 6] {
    [
        vec![flush()],
        vec![begin(), Owned::write(0, sample::bytes(1, 512)), group(true)],
        vec![flush(), group(false)],
        vec![end(2), flush()],
        vec![begin()],
        vec![begin(), end(10)],
    ]
}

fn series() -> (Arc<dyn Directory>, Vec<SealedFile>) {
    let dir = sample::folder();
    let mut files: Vec<SealedFile> = Vec::new();
    for records in records() {
        let after = files.last().map_or(Position::START, |file| file.position);
        files.push(sample::sealed(&*dir, after, &records));
    }
    (dir, files)
}

fn header(dir: &dyn Directory, file: &SealedFile) -> Header {
    let file = dir.open(&file.name.sealed(), false).unwrap();
    ParsedFile::open(file).unwrap().header().clone()
}

/// The numbers are those of `docs/format.md`, not of the code.
#[test]
fn golden_files_with_baselines_are_written_and_read_as_ever() {
    let (dir, files) = series();
    let names: Vec<String> = files.iter().map(|file| file.name.sealed()).collect();
    assert_written(SET, &*dir, &names);
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].first_chunk().copied().unwrap())
    };
    let expected = [
        [0, 0, 0],
        [3, 2, 0],
        [1, 0, 0],
        [2, 0, 2],
        [2, 9, 0],
        [2, 10, 10],
    ];
    let mut lsn = 1;
    for ((name, records), expected) in names.iter().zip(&records()).zip(expected) {
        let bytes = golden_of(SET, name);
        // the bits, the baseline that begins it, the one that ends in it
        assert_eq!([24, 232, 240].map(|at| number(&bytes, at)), expected);
        let file = VerifiedFile::open(sample::file(&bytes)).unwrap();
        assert_records(&sample::content(&file), lsn, records);
        lsn += records.len() as u64;
    }
    let last = golden_of(SET, &names[5]);
    let slot = |index: usize| &last[4096 + 64 * index..][..64];
    assert_eq!([slot(0)[10], slot(1)[10]], [12, 13]);
    assert_eq!([number(slot(0), 48), number(slot(1), 48)], [0, 10]);
}

#[test]
fn a_baseline_begins_a_file_and_neither_begins_nor_ends_in_a_group() {
    let dir = sample::folder();
    let first = sample::sealed(&*dir, Position::START, &[flush()]);
    let mut file = OpenFile::create(&*dir, &sample::spec(first.position)).unwrap();
    let mut append = |records: &[Owned]| {
        let next = file.last_lsn().next().get();
        file.append(&sample::numbered(next, records))
    };
    let mut refuses = |records: &[Owned]| match append(records) {
        Err(WriteError::Record { source, .. }) => assert_eq!(source, IocbError::MisplacedBaseline),
        other => panic!("{other:?}"),
    };
    refuses(&[end(0)]);
    refuses(&[end(2)]);
    refuses(&[flush(), begin()]);
    refuses(&[group(true), begin()]);
    refuses(&[begin(), group(true), end(2)]);
    append(&[begin(), group(true), group(false), end(2)]).unwrap();
}

#[test]
fn a_series_is_taken_up_behind_missing_files_at_a_baseline_and_nowhere_else() {
    let (dir, files) = series();
    let step = |after: &Position, index: usize| check_step(after, &header(&*dir, &files[index]));
    for after in [Position::START, files[0].position, files[2].position] {
        assert_eq!(step(&after, 4), Ok(()), "behind {after}");
        assert_eq!(step(&after, 5), Ok(()), "behind {after}");
    }
    for index in [2, 3] {
        let gap = step(&Position::START, index);
        assert!(matches!(gap, Err(LinkError::Gap { .. })), "{gap:?}");
    }
    let again = step(&files[4].position, 4);
    assert!(matches!(again, Err(LinkError::Repeated { .. })));
    let other_epoch = Position {
        epoch: Epoch(2),
        ..files[0].position
    };
    let refused = step(&other_epoch, 4);
    assert!(matches!(refused, Err(LinkError::OldEpoch { .. })));
    // fewer files with more transactions are not those of this series
    let other_series = Position {
        file: FileNumber(1),
        lsn: Lsn(1000),
        ..files[0].position
    };
    let refused = step(&other_series, 4);
    assert!(matches!(refused, Err(LinkError::Lsn { .. })));
}

#[test]
fn a_header_that_hides_or_invents_a_baseline_is_refused() {
    let (dir, files) = series();
    // every check value is right: only the records say otherwise
    let refused = |index: usize, change: &dyn Fn(&mut Header)| {
        let bytes = sample::read(&*dir, &files[index].name.sealed());
        let mut header = Header::parse(bytes.first_chunk().unwrap()).unwrap();
        change(&mut header);
        let iocbs = header.seal.unwrap().iocb_count as usize * 64;
        let digest = Header::digest(&header.encode(), &bytes[4096..][..iocbs]);
        if let Some(seal) = &mut header.seal {
            seal.digest = digest;
        }
        let bytes = [&header.encode()[..], &bytes[4096..]].concat();
        let error = VerifiedFile::open(sample::file(&bytes)).unwrap_err();
        matches!(error, ReadError::Groups { .. } | ReadError::Header(_))
    };
    let marks = |index: usize, begun: u64, ended: u64| {
        refused(index, &move |header: &mut Header| {
            let any = u64::from(begun | ended != 0);
            header.incompatible = (header.incompatible & !2) | (any * 2);
            let seal = header.seal.as_mut().unwrap();
            seal.baseline_begun = Lsn(begun);
            seal.baseline_ended = Lsn(ended);
        })
    };
    for (index, begun, ended) in [
        (0, 1, 0),
        (0, 0, 1),
        (1, 0, 0),
        (1, 2, 2),
        (1, 3, 0),
        (2, 5, 0),
        (3, 0, 0),
        (3, 0, 3),
        (5, 10, 0),
        (5, 10, 11),
    ] {
        assert!(marks(index, begun, ended), "{begun} {ended} of {index}");
    }
    assert!(refused(4, &|header| header.incompatible = 0));
}

//! Groups and verify records: what the bytes are, and what a series can't be.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::checksum::payload_checksum;
use aim_core::format::{Header, IocbError, Kind};
use aim_core::fs::Directory;
use aim_core::journal::{
    LinkError, OpenFile, ParsedFile, ReadError, Recovered, SealedFile, VerifiedFile, WriteError,
    check_link, recover, verify_chain,
};
use aim_core::units::{Lsn, Timestamp};

use crate::golden::{assert_records, assert_written, folder, golden_of};
use crate::sample::{self, Owned};

/// Files with groups and verify records.
const SET: &str = "v1-groups";

fn begin(hole: bool) -> Owned {
    Owned::range(Kind::GroupBegin { hole }, 0, 0)
}

fn end() -> Owned {
    Owned::range(Kind::GroupEnd, 0, 0)
}

fn verify(offset: u64, content: &[u8]) -> Owned {
    let digest = payload_checksum(content);
    Owned::range(Kind::Verify { digest }, offset, content.len() as u64)
}

fn flush() -> Owned {
    Owned::range(Kind::Flush, 0, 0)
}

/// A group from LSN 2 in the first to LSN 8 in the third of four files; a small one of LSN 9 and
/// 10 in the third; a verify record, and nothing else of the kind, in the last.
fn records() -> [Vec<Owned>; 4] {
    let content = sample::bytes(1, 1024);
    let zeroes = Owned::range(Kind::WriteZeroes { unmap: true }, 8192, 4096);
    [
        vec![Owned::write(0, content.clone()), begin(true), zeroes],
        vec![flush(), Owned::write(512, sample::bytes(2, 512))],
        vec![
            verify(0, &content[..512]),
            Owned {
                device: 1,
                ..verify(4096, &[0; 8192])
            },
            end(),
            begin(false),
            end(),
        ],
        vec![verify(8192, &[0; 4096]), flush()],
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

#[test]
fn golden_files_with_groups_are_written_and_read_as_ever() {
    let (dir, files) = series();
    let names: Vec<String> = files.iter().map(|file| file.name.sealed()).collect();
    assert_written(SET, &*dir, &names);
    let mut lsn = 1;
    for (name, records) in names.iter().zip(&records()) {
        let file = VerifiedFile::open(sample::file(&golden_of(SET, name))).unwrap();
        assert_records(&sample::content(&file), lsn, records);
        lsn += records.len() as u64;
    }
    let kept = aim_core::fs::HostDirectory::open(folder(SET)).unwrap();
    let report = verify_chain(&*kept, sample::volume().id, Some(Position::START)).unwrap();
    assert!(report.is_whole());
    assert_eq!(report.whole_to, Some(files[3].position));
}

/// The numbers are those of `docs/format.md`, not of the code.
#[test]
fn fields_of_groups_are_where_the_specification_says() {
    let (_, files) = series();
    let bytes = |index: usize| golden_of(SET, &files[index].name.sealed());
    let number = |bytes: &[u8], at: usize, size: usize| {
        let mut le = [0; 8];
        le[..size].copy_from_slice(&bytes[at..at + size]);
        u64::from_le_bytes(le)
    };
    // the bit, the group at the start, the group at the end
    for (index, expected) in [[1, 0, 2], [1, 2, 2], [1, 2, 0], [1, 0, 0]]
        .into_iter()
        .enumerate()
    {
        let bytes = bytes(index);
        let found = [24, 216, 224].map(|at| number(&bytes, at, 8));
        assert_eq!(found, expected, "file {}", index + 1);
    }
    let begin = &bytes(0)[4096 + 64..][..64];
    assert_eq!([begin[10], begin[11]], [10, 4]);
    let third = bytes(2);
    let slot = |index: usize| &third[4096 + 64 * index..][..64];
    assert_eq!([slot(0)[10], slot(0)[11]], [7, 0]);
    assert_eq!([slot(2)[10], slot(2)[11]], [11, 0]);
    assert_eq!([slot(3)[10], slot(3)[11]], [10, 0]);
    let range = [16, 24, 32].map(|at| number(slot(0), at, 8));
    assert_eq!(range, [0, 512, 0], "offset, length, place of the payload");
    assert_eq!(number(slot(0), 40, 4), 0, "stored size");
    let digest = xxhash_rust::xxh3::xxh3_64(&sample::bytes(1, 1024)[..512]);
    assert_eq!(number(slot(0), 48, 8), digest);
}

#[test]
fn a_group_goes_on_in_the_next_file_and_nowhere_else() {
    let (dir, files) = series();
    let groups: Vec<u64> = files
        .iter()
        .map(|file| file.position.open_group.get())
        .collect();
    assert_eq!(groups, [2, 2, 0, 0]);
    let header = |index: usize| {
        let file = dir.open(&files[index].name.sealed(), false).unwrap();
        ParsedFile::open(file).unwrap().header().clone()
    };
    for (index, expected, found) in [(1, 1, 2), (1, 0, 2), (3, 2, 0)] {
        let before = Position {
            open_group: Lsn(expected),
            ..files[index - 1].position
        };
        let link = LinkError::OpenGroup {
            expected: Lsn(expected),
            found: Lsn(found),
        };
        assert_eq!(check_link(&before, &header(index)), Err(link));
    }
}

#[test]
fn groups_begin_outside_and_end_inside_of_one() {
    let dir = sample::folder();
    let mut file = OpenFile::create(&*dir, &sample::spec(Position::START)).unwrap();
    let mut append = |records: &[Owned]| {
        let next = file.last_lsn().next().get();
        let appended = file.append(&sample::numbered(next, records));
        (file.open_group(), appended)
    };
    let refusal = |result| match result {
        (open, Err(WriteError::Record { source, .. })) => (open, source),
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(append(&[end()])), (Lsn(0), IocbError::NoGroup));
    let (open, done) = append(&[flush(), begin(false)]);
    assert!(done.is_ok() && open == Lsn(2));
    let nested = refusal(append(&[flush(), begin(true)]));
    assert_eq!(nested, (Lsn(2), IocbError::GroupInGroup { open: Lsn(2) }));
    let (open, done) = append(&[end(), begin(true), end()]);
    assert!(done.is_ok() && open == Lsn(0));
    for (record, field) in [
        (
            Owned::range(Kind::GroupBegin { hole: false }, 512, 0),
            "offset",
        ),
        (
            Owned::range(Kind::GroupBegin { hole: false }, 0, 512),
            "length",
        ),
        (
            Owned {
                device: 1,
                ..begin(true)
            },
            "device",
        ),
        (Owned::range(Kind::Verify { digest: 1 }, 0, 0), "length"),
        (
            Owned::range(Kind::Verify { digest: 1 }, 1 << 20, 512),
            "offset",
        ),
        (
            Owned::range(Kind::Verify { digest: 1 }, 0, 2 << 20),
            "length",
        ),
    ] {
        let (_, error) = refusal(append(&[record]));
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn an_open_file_is_taken_up_in_its_group() {
    let (dir, files) = series();
    let open = |records: &[Owned]| {
        let file = sample::opened(&*dir, files[1].position, records);
        let Recovered::Open(again) = recover(&*dir, file.name()).unwrap() else {
            panic!("it holds records");
        };
        (file.open_group(), again)
    };
    let (group, again) = open(&[flush()]);
    assert_eq!((group, again.open_group()), (Lsn(2), Lsn(2)));
    again.remove(&*dir).unwrap();
    // the header of a file that is open does not say it yet
    let (group, again) = open(&[end(), begin(true), flush()]);
    assert_eq!((group, again.open_group()), (Lsn(7), Lsn(7)));
    let sealed = again.seal(Timestamp(u64::MAX)).unwrap();
    assert_eq!(sealed.position.open_group, Lsn(7));
    let Recovered::Sealed(again) = recover(&*dir, sealed.name).unwrap() else {
        panic!("it is whole");
    };
    assert_eq!(again, sealed);
}

#[test]
fn a_header_that_hides_a_group_is_refused() {
    let (dir, files) = series();
    // every check value is right: only the records say otherwise
    let refusal = |index: usize, change: &dyn Fn(&mut Header)| {
        let bytes = sample::read(&*dir, &files[index].name.sealed());
        let mut header = Header::parse(bytes.first_chunk().unwrap()).unwrap();
        change(&mut header);
        let iocbs = header.seal.unwrap().iocb_count as usize * 64;
        let digest = Header::digest(&header.encode(), &bytes[4096..][..iocbs]);
        if let Some(seal) = &mut header.seal {
            seal.digest = digest;
        }
        let bytes = [&header.encode()[..], &bytes[4096..]].concat();
        VerifiedFile::open(sample::file(&bytes)).unwrap_err()
    };
    let group_at_end = |lsn| {
        move |header: &mut Header| {
            header.seal.as_mut().unwrap().open_group = Lsn(lsn);
        }
    };
    for (index, lsn) in [(0, 0), (0, 3), (1, 0), (2, 2), (2, 9), (3, 11)] {
        let refused = refusal(index, &group_at_end(lsn));
        assert!(
            matches!(
                refused,
                ReadError::Groups {
                    field: "open_group_at_end",
                    ..
                }
            ),
            "{refused}"
        );
    }
    let without_bit = refusal(3, &|header| header.incompatible = 0);
    let field = "incompatible";
    assert!(matches!(without_bit, ReadError::Groups { field: found, .. } if found == field));
    let not_begun = refusal(2, &|header| header.open_group = Lsn(0));
    assert!(matches!(
        not_begun,
        ReadError::Iocb {
            index: 2,
            source: IocbError::NoGroup
        }
    ));
    let begun = refusal(0, &|header| header.open_group = Lsn(0).next());
    assert!(
        matches!(begun, ReadError::Header(_)),
        "no LSN is before the first: {begun}"
    );
}

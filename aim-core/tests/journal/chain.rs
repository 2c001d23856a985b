//! A series of files is whole, or the fault is named.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{
    ChainError, ChainReport, FileError, FileName, LinkError, OpenFile, OpenSpec, SealedFile,
    VerifiedFile, check_link, check_volume, verify_chain, verify_file,
};
use aim_core::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, Timestamp, VolumeId};

use crate::sample::{self, Owned};

/// `count` files of one or two records.
fn series(count: u64) -> (Arc<dyn Directory>, Vec<SealedFile>) {
    let dir = sample::folder();
    let mut files = Vec::new();
    let mut after = Position::START;
    for number in 1..=count {
        let file = sample::sealed(&*dir, after, &records(number));
        after = file.position;
        files.push(file);
    }
    (dir, files)
}

fn records(number: u64) -> Vec<Owned> {
    let write = Owned::write(512 * number, sample::bytes(number as u8, 512));
    let flush = Owned::range(Kind::Flush, 0, 0);
    match number.is_multiple_of(2) {
        true => vec![write, flush],
        false => vec![write],
    }
}

fn report(dir: &dyn Directory) -> ChainReport {
    verify_chain(dir, sample::volume().id, None).unwrap()
}

fn problems(report: &ChainReport) -> Vec<(FileNumber, &ChainError)> {
    let numbered = |(name, problem): (FileName, _)| (name.number, problem);
    report.problems().map(numbered).collect()
}

/// Seals a file of another volume or epoch.
fn other(dir: &dyn Directory, volume: VolumeIdentity, after: Position) -> SealedFile {
    let spec = OpenSpec {
        volume,
        ..sample::spec(after)
    };
    let mut file = OpenFile::create(dir, &spec).unwrap();
    let records = records(99);
    file.append(&sample::numbered(after.lsn.next().get(), &records))
        .unwrap();
    let sealed = file.seal(Timestamp(u64::MAX)).unwrap();
    sealed.publish(dir, dir).unwrap();
    sealed
}

#[test]
fn a_whole_series_is_whole_from_any_file() {
    let (dir, files) = series(4);
    let whole = report(&*dir);
    assert!(whole.is_whole() && whole.others.is_empty());
    assert_eq!(whole.whole_to, Some(files[3].position));
    let names: Vec<FileName> = whole.files.iter().map(|file| file.name).collect();
    assert_eq!(
        names,
        files.iter().map(|file| file.name).collect::<Vec<_>>()
    );
    // the first files are gone once they are applied
    dir.remove(&files[0].name.sealed()).unwrap();
    assert!(report(&*dir).is_whole());
    let behind = verify_chain(&*dir, sample::volume().id, Some(files[0].position)).unwrap();
    assert!(behind.is_whole());
    let from_start = verify_chain(&*dir, sample::volume().id, Some(Position::START)).unwrap();
    let [(FileNumber(2), ChainError::Link(link))] = problems(&from_start)[..] else {
        panic!("{from_start:?}")
    };
    assert_eq!(
        *link,
        LinkError::Gap {
            expected: FileNumber(1),
            found: FileNumber(2)
        }
    );
    assert_eq!(from_start.whole_to, Some(Position::START));
}

#[test]
fn a_gap_is_named_once_and_ends_what_is_whole() {
    let (dir, files) = series(5);
    dir.remove(&files[2].name.sealed()).unwrap();
    let report = report(&*dir);
    let [(FileNumber(4), ChainError::Link(LinkError::Gap { expected, found }))] =
        problems(&report)[..]
    else {
        panic!("{report:?}")
    };
    assert_eq!((*expected, *found), (FileNumber(3), FileNumber(4)));
    assert_eq!(report.whole_to, Some(files[1].position));
}

#[test]
fn a_damaged_and_a_misnamed_file_are_named() {
    let (dir, files) = series(4);
    let name = files[1].name.sealed();
    let mut bytes = sample::read(&*dir, &name);
    bytes[8500] ^= 1;
    sample::put(&*dir, &name, &bytes);
    let third = sample::read(&*dir, &files[2].name.sealed());
    sample::put(&*dir, &files[3].name.sealed(), &third);
    let report = report(&*dir);
    let [
        (FileNumber(2), ChainError::File(FileError::Content(_))),
        (FileNumber(4), ChainError::File(FileError::Misnamed { found })),
    ] = problems(&report)[..]
    else {
        panic!("{report:?}")
    };
    assert_eq!(*found, files[2].name);
    assert_eq!(report.whole_to, Some(files[0].position));
}

#[test]
fn a_file_of_another_history_is_named() {
    let (dir, files) = series(3);
    // the same numbers and LSNs, written once more with other bytes
    let again = sample::folder();
    let first = sample::sealed(&*again, Position::START, &[Owned::write(0, vec![9; 512])]);
    sample::put(
        &*dir,
        &first.name.sealed(),
        &sample::read(&*again, &first.name.sealed()),
    );
    let report = report(&*dir);
    let [(FileNumber(2), ChainError::Link(link))] = problems(&report)[..] else {
        panic!("{report:?}")
    };
    assert_eq!(
        *link,
        LinkError::Previous {
            expected: first.position.digest,
            found: files[0].position.digest
        }
    );
    assert!(link.to_string().contains("digest"));
}

#[test]
fn a_promoted_mirror_goes_on_and_the_old_source_is_refused() {
    let (dir, files) = series(3);
    let promoted = VolumeIdentity {
        epoch: Epoch(2),
        ..sample::volume()
    };
    let next = other(&*dir, promoted.clone(), files[2].position);
    assert!(report(&*dir).is_whole());
    assert_eq!(report(&*dir).whole_to, Some(next.position));
    // promoted earlier, while the old source wrote on
    let fork = other(&*dir, promoted, files[1].position);
    let report = report(&*dir);
    let [(number, ChainError::Link(LinkError::Repeated { reached, found }))] =
        problems(&report)[..]
    else {
        panic!("{report:?}")
    };
    assert_eq!(
        (number, *found, *reached),
        (FileNumber(3), FileNumber(3), FileNumber(3))
    );
    let old = verify_file(&*dir, &files[2].name.sealed()).unwrap();
    let refused = check_link(&fork.position, old.header());
    assert_eq!(
        refused,
        Err(LinkError::OldEpoch {
            reached: Epoch(2),
            found: Epoch(1)
        })
    );
}

#[test]
fn foreign_files_and_other_names_are_told_apart() {
    let (dir, files) = series(2);
    let stranger = VolumeIdentity {
        id: VolumeId([0xee; 16]),
        ..sample::volume()
    };
    let foreign = other(&*dir, stranger, Position::START);
    sample::put(&*dir, "mirror.cursor", b"?");
    let report = report(&*dir);
    assert_eq!(report.others, ["mirror.cursor"]);
    let [(FileNumber(1), ChainError::Link(LinkError::Volume { found, .. }))] =
        problems(&report)[..]
    else {
        panic!("{report:?}")
    };
    assert_eq!(*found, foreign.name.volume);
    assert_eq!(report.whole_to, Some(files[1].position));
    let not_ours = verify_file(&*dir, "mirror.cursor");
    assert!(matches!(not_ours, Err(FileError::Name(_))));
}

#[test]
fn an_lsn_gap_between_files_is_named() {
    let (dir, files) = series(2);
    let after = Position {
        lsn: Lsn(files[1].position.lsn.get() + 1),
        ..files[1].position
    };
    let far = other(&*dir, sample::volume(), after);
    let file = verify_file(&*dir, &far.name.sealed()).unwrap();
    assert_eq!(
        check_link(&files[1].position, file.header()),
        Err(LinkError::Lsn {
            expected: Lsn(4),
            found: Lsn(5)
        })
    );
}

#[test]
fn another_device_is_never_taken_for_the_volumes() {
    let (dir, files) = series(1);
    let file = dir.open(&files[0].name.sealed(), false).unwrap();
    let file = VerifiedFile::open(file).unwrap();
    let volume = sample::volume();
    assert_eq!(check_volume(&volume, file.header()), Ok(()));
    let refusal = |change: fn(&mut VolumeIdentity)| {
        let mut other = volume.clone();
        change(&mut other);
        check_volume(&other, file.header()).unwrap_err()
    };
    let foreign = refusal(|v| v.id = VolumeId([1; 16]));
    assert!(matches!(foreign, LinkError::Volume { .. }));
    let fewer = refusal(|v| v.devices.truncate(1));
    assert!(matches!(
        fewer,
        LinkError::DeviceCount {
            expected: 1,
            found: 2
        }
    ));
    let other = refusal(|v| v.devices[1].id = DeviceId([1; 16]));
    assert!(matches!(other, LinkError::Device { index: 1, .. }));
    let smaller = refusal(|v| v.devices[0].size = ByteLen(512));
    assert!(matches!(smaller, LinkError::DeviceSize { index: 0, .. }));
    let coarser = refusal(|v| v.devices[0].block_size = 4096);
    assert!(matches!(coarser, LinkError::BlockSize { index: 0, .. }));
    let later_epoch = VolumeIdentity {
        epoch: Epoch(9),
        ..volume.clone()
    };
    assert_eq!(check_volume(&later_epoch, file.header()), Ok(()));
}

//! Verify records: what differs is found at their LSN, kept, and forgotten once it is mended.

use aim_core::device::BlockDevice;
use aim_core::format::Kind;
use aim_core::replay::{Differences, Replay, ReplayError};
use aim_core::state_file::{StateError, StateFile};
use aim_core::units::{ByteOffset, VolumeId};
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};
use super::plan::Plan;

/// The digest is put in by the series.
const VERIFY: Kind = Kind::Verify { digest: 0 };
const BEGIN: Kind = Kind::GroupBegin { hole: false };

/// The ranges on the first device, as start and end in sectors.
fn ranges(differences: &Differences) -> Vec<(u64, u64)> {
    let sectors = differences.ranges().map(|range| {
        assert_eq!(range.device, 0);
        let start = range.offset.get() / 512;
        (start, start + range.len.get() / 512)
    });
    sectors.collect()
}

/// Writes something else to a sector of the mirror's first device, durably.
fn corrupt(mirror: &Mirror, sector: u64) {
    let disk = &mirror.devices[0];
    disk.write(ByteOffset(sector * 512), &[0xee; 512]).unwrap();
    disk.sync().unwrap();
}

fn sectors(kind: Kind, start: u64, end: u64) -> (Kind, u64, u64) {
    (kind, start * 512, (end - start) * 512)
}

fn stored(mirror: &Mirror) -> Option<Differences> {
    Differences::load(&*mirror.folder()).unwrap()
}

#[test]
fn a_difference_is_kept_until_it_is_overwritten_or_verified() {
    let mut series = Series::new(two_disks(), 1);
    let mirror = Mirror::new(series.identity(), 1);
    let mut replay = mirror.start().unwrap();
    let mut apply = |series: &Series, file: &SeriesFile| {
        let summary = replay.apply_run(&[&series.verified(file)]).unwrap();
        mirror.power_cut(1);
        replay = mirror.start().unwrap();
        let found = ranges(replay.differences());
        assert_eq!(
            stored(&mirror).map_or_else(Vec::new, |told| ranges(&told)),
            found
        );
        (summary.mismatches, found)
    };
    let first = series.next_file_of(&[sectors(Kind::Write, 0, 32), sectors(VERIFY, 0, 32)]);
    assert_eq!(apply(&series, &first), (0, vec![]));
    assert_eq!(stored(&mirror), None, "nothing is worth a file");
    corrupt(&mirror, 9);
    corrupt(&mirror, 20);
    // both, and one that is right between them
    let file = series.next_file_of(&[
        sectors(VERIFY, 8, 12),
        sectors(VERIFY, 12, 16),
        sectors(VERIFY, 16, 24),
    ]);
    assert_eq!(apply(&series, &file), (2, vec![(8, 12), (16, 24)]));
    assert_eq!(stored(&mirror).unwrap().as_of(), file.position.lsn);
    let zeroes = Kind::WriteZeroes { unmap: true };
    // what is done in between does not touch them
    let file = series.next_file_of(&[sectors(Kind::Write, 0, 8), sectors(Kind::Void, 8, 12)]);
    assert_eq!(apply(&series, &file), (0, vec![(8, 12), (16, 24)]));
    let file = series.next_file_of(&[
        sectors(Kind::Write, 7, 9),
        sectors(zeroes, 20, 22),
        sectors(Kind::Discard, 23, 24),
    ]);
    assert_eq!(
        apply(&series, &file),
        (0, vec![(9, 12), (16, 20), (22, 23)])
    );
    // what is right is right
    let file = series.next_file_of(&[sectors(VERIFY, 16, 24)]);
    assert_eq!(apply(&series, &file), (0, vec![(9, 12)]));
    // a write mends what it covers, at its LSN and not before
    let file = series.next_file_of(&[sectors(VERIFY, 8, 10), sectors(Kind::Write, 9, 10)]);
    assert_eq!(apply(&series, &file), (1, vec![(8, 9), (10, 12)]));
    let file = series.next_file_of(&[sectors(VERIFY, 0, 32)]);
    assert_eq!(apply(&series, &file), (0, vec![]));
    assert_eq!(mirror.content(), file.devices);
    let told = stored(&mirror).unwrap();
    assert_eq!((told.mismatches(), told.skipped_bytes()), (3, 0));
    assert_eq!(told.as_of(), file.position.lsn);
}

/// Ranges of another disk would be mended here, and those of this one would not be known.
#[test]
fn differences_of_another_volume_are_refused() {
    let mirror = Mirror::new(&two_disks(), 6);
    let foreign = Differences::new(VolumeId::generate());
    foreign.store(&*mirror.folder()).unwrap();
    let refused = mirror.start().unwrap_err();
    assert!(
        matches!(refused, ReplayError::Differences(StateError::Volume { .. })),
        "{refused}"
    );
}

#[test]
fn a_record_is_compared_at_its_lsn() {
    let mut series = Series::new(two_disks(), 2);
    let mirror = Mirror::new(series.identity(), 2);
    // each of them is wrong one transaction earlier or later
    let mut transactions = Vec::new();
    for start in [0, 2, 1, 0, 3] {
        transactions.push(sectors(Kind::Write, start, start + 4));
        transactions.push(sectors(VERIFY, 0, 16));
    }
    let file = series.next_file_of(&transactions);
    let mut replay = mirror.start().unwrap();
    let summary = replay.apply_run(&[&series.verified(&file)]).unwrap();
    assert_eq!((summary.verifies, summary.mismatches), (5, 0));
    assert_eq!(summary.bytes_verified, 5 * 16 * 512);
}

/// A write that mends a sector, a verify record that finds another one beside it: in one run of
/// two files, whose differences are stored before it counts as applied.
fn plan() -> Plan {
    let mut series = Series::new(two_disks(), 3);
    let files = vec![
        series.next_file_of(&[sectors(Kind::Write, 0, 32)]),
        series.next_file_of(&[(BEGIN, 0, 0), sectors(Kind::Write, 8, 9)]),
        series.next_file_of(&[
            sectors(VERIFY, 8, 16),
            sectors(Kind::Write, 30, 31),
            (Kind::GroupEnd, 0, 0),
        ]),
        series.next_file_of(&[sectors(Kind::Write, 20, 21)]),
    ];
    Plan::of(series, files, vec![0..1, 1..3, 3..4])
}

#[test]
fn a_difference_that_was_stored_survives_a_power_cut_at_any_step() {
    let plan = plan();
    let (mut stored_early, mut lost) = (0, 0);
    for step in 0.. {
        let mirror = Mirror::new(plan.series.identity(), step);
        let mut replay = mirror.start().unwrap();
        let first = plan.series.verified(&plan.files[0]);
        replay.apply(&first).map(drop).unwrap();
        corrupt(&mirror, 12);
        mirror.power.cut_at(mirror.power.steps() + 1 + step);
        let finished = plan.apply(&mut replay);
        mirror.power_cut(step);
        let there = stored(&mirror).is_some();
        let applied = mirror.cursor().applied;
        assert!(
            there || applied.file < plan.files[2].position.file,
            "step {step}"
        );
        stored_early += u64::from(there && applied == plan.files[0].position);
        let mut replay = mirror.start().unwrap();
        plan.apply(&mut replay).unwrap();
        let told = replay.differences();
        match there {
            // whatever was done again
            true => assert_eq!(ranges(told), [(8, 16)], "step {step}"),
            false => lost += u64::from(told.is_empty()),
        }
        // what was not compared is said
        assert_eq!(told.is_empty(), told.skipped_bytes() > 0, "step {step}");
        if finished.is_ok() {
            break;
        }
    }
    assert!(stored_early > 0 && lost > 0, "this test proves nothing");
}

#[test]
fn what_can_not_be_read_differs_and_many_differences_are_bounded() {
    let mut series = Series::new(two_disks(), 4);
    let mirror = Mirror::new(series.identity(), 4);
    let devices = (mirror.devices.iter()).map(|disk| -> std::sync::Arc<dyn BlockDevice> {
        std::sync::Arc::new(Unreadable(disk.clone()))
    });
    let mut replay: Replay = mirror
        .start_with(devices.collect(), mirror.folder())
        .unwrap();
    let every_other = (0..16).map(|index| sectors(VERIFY, 2 * index, 2 * index + 1));
    let file = series.next_file_of(&every_other.collect::<Vec<_>>());
    let summary = replay.apply_run(&[&series.verified(&file)]).unwrap();
    assert_eq!(
        (summary.mismatches, summary.bytes_mismatched),
        (16, 16 * 512)
    );
    assert_eq!(replay.differences().ranges().count(), 16);
}

/// A disk that can't be read.
#[derive(Debug)]
struct Unreadable(std::sync::Arc<dyn BlockDevice>);

impl BlockDevice for Unreadable {
    fn size(&self) -> aim_core::units::ByteLen {
        self.0.size()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn read(&self, _: ByteOffset, _: &mut [u8]) -> std::io::Result<()> {
        Err(std::io::Error::other("a bad sector"))
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }

    fn write_zeroes(
        &self,
        offset: ByteOffset,
        len: aim_core::units::ByteLen,
        unmap: bool,
    ) -> std::io::Result<()> {
        self.0.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

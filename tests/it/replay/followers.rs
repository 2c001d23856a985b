//! A mirror that is never asked what it holds: it begins at a baseline, and names what that lacks.

use aim_core::format::Kind;
use aim_core::identity::{FollowerIdentity, VolumeIdentity};
use aim_core::replay::{Replay, ReplayError};
use aim_core::state_file::{StateError, StateFile};
use aim_core::units::{ByteLen, FileNumber, Lsn, VolumeId};
use aim_tests::{Series, SeriesFile};

use super::mirror::Mirror;

const SIZE: u64 = 32 * 512;

/// A series whose second file is a baseline that lacks this range, and whose third follows it.
fn series(lacking: std::ops::Range<u64>) -> (Series, Vec<SeriesFile>) {
    let volume = VolumeIdentity::generate(ByteLen(SIZE), 512);
    let mut series = Series::new(volume, lacking.start);
    let mut files = vec![series.next_file(8)];
    let begin = series.position().lsn.next();
    let mut records = vec![(Kind::BaselineBegin, 0, 0)];
    for (start, end) in [(0, lacking.start), (lacking.end, SIZE)] {
        if start < end {
            records.push((Kind::Write, start, end - start));
        }
    }
    records.push((Kind::BaselineEnd { begin }, 0, 0));
    files.push(series.next_file_of(&records));
    files.push(series.next_file(8));
    (series, files)
}

fn follower(series: &Series) -> Mirror {
    let mirror = Mirror::new(series.identity(), 1);
    let volume = series.identity().id;
    FollowerIdentity { volume }
        .store(&*mirror.folder())
        .unwrap();
    mirror
}

/// Receives all files from the baseline on, and applies it.
fn take_up(mirror: &Mirror, series: &Series, files: &[SeriesFile]) -> Replay {
    let noted = mirror.cursor_file().update(|cursor| {
        cursor.received = files[1].position;
        cursor.base = files[1].position.file;
    });
    noted.unwrap();
    let mut replay = mirror.start().unwrap();
    let mut run = replay.start_run();
    assert!(
        replay
            .extend_run(&mut run, &series.parsed(&files[1]))
            .unwrap()
    );
    let mut open = |number: FileNumber| Ok(series.parsed(&files[number.get() as usize - 1]));
    replay.apply_files(&run, &mut open).unwrap();
    replay
}

#[test]
fn it_takes_up_nothing_before_a_baseline() {
    let (series, files) = series(0..0);
    let mirror = follower(&series);
    let mut replay = mirror.start().unwrap();
    assert!(replay.must_begin_at_a_baseline());
    let refused = replay.apply(&series.verified(&files[0]));
    assert!(
        matches!(refused, Err(ReplayError::NotAtABaseline { file }) if file.get() == 1),
        "{refused:?}"
    );
    assert!(mirror.cursor().is_settled() && mirror.cursor().applied.is_start());
    let mut replay = take_up(&mirror, &series, &files);
    assert!(!replay.must_begin_at_a_baseline());
    assert_eq!(mirror.content(), files[1].devices);
    assert!(replay.differences().is_empty());
    // from here on it is like any other
    let _ = replay.apply(&series.verified(&files[2])).unwrap();
    assert_eq!(mirror.content(), files[2].devices);
}

#[test]
fn what_its_baseline_lacks_is_named_as_different_until_it_comes() {
    let (series, files) = series(1024..2048);
    let named = |mirror: &Mirror| {
        let replay = mirror.start().unwrap();
        let ranges = replay.differences().ranges();
        let ranges = ranges.map(|range| (range.offset.get(), range.len.get()));
        ranges.collect::<Vec<_>>()
    };
    let mirror = follower(&series);
    drop(take_up(&mirror, &series, &files));
    assert_eq!(named(&mirror), [(1024, 1024)]);
    assert_eq!(mirror.start().unwrap().differences().mismatches(), 0);
    // whoever is asked has nobody leave out what it does not hold
    let asked = Mirror::new(series.identity(), 1);
    drop(take_up(&asked, &series, &files));
    assert_eq!(named(&asked), []);

    let (mut series, files) = (series, files);
    let later = series.next_file_of(&[(Kind::Write, 512, 1024)]);
    let mut replay = mirror.start().unwrap();
    let _ = replay.apply(&series.verified(&files[2])).unwrap();
    let _ = replay.apply(&series.verified(&later)).unwrap();
    drop(replay);
    let end = named(&mirror)
        .iter()
        .map(|(offset, len)| offset + len)
        .max();
    assert!(named(&mirror).iter().all(|(offset, _)| *offset >= 1536));
    assert!(end.is_none_or(|end| end <= 2048));
}

/// After a power cut at any step it names no less.
#[test]
fn a_power_cut_takes_nothing_away_from_what_is_named() {
    let (series, files) = series(1024..2048);
    for step in 1.. {
        let mirror = follower(&series);
        let noted = mirror.cursor_file().update(|cursor| {
            cursor.received = files[1].position;
            cursor.base = files[1].position.file;
        });
        noted.unwrap();
        mirror.power.cut_at(mirror.power.steps() + step);
        let apply = || -> Result<(), ReplayError> {
            let mut replay = mirror.start()?;
            let mut run = replay.start_run();
            if replay.extend_run(&mut run, &series.parsed(&files[1]))? {
                let mut open = |_| Ok(series.parsed(&files[1]));
                replay.apply_files(&run, &mut open)?;
            }
            Ok(())
        };
        let ended = apply();
        mirror.power_cut(step);
        apply().unwrap();
        let replay = mirror.start().unwrap();
        let ranges: Vec<_> = replay.differences().ranges().collect();
        assert_eq!(ranges.len(), 1, "step {step}");
        let (offset, len) = (ranges[0].offset.get(), ranges[0].len.get());
        assert_eq!((offset, len), (1024, 1024), "step {step}");
        assert_eq!(
            replay.differences().as_of(),
            Lsn(files[1].position.lsn.get())
        );
        if ended.is_ok() {
            break;
        }
    }
}

#[test]
fn that_it_is_one_is_only_taken_of_its_own_volume() {
    let (series, _) = series(0..0);
    let mirror = follower(&series);
    let volume = VolumeId::generate();
    FollowerIdentity { volume }
        .store(&*mirror.folder())
        .unwrap();
    assert!(matches!(
        mirror.start(),
        Err(ReplayError::Follower(StateError::Volume { .. }))
    ));
}

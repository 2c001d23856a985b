//! Taking up a series behind missing files: nothing of a baseline, or all of it.

use aim_core::format::Kind;
use aim_core::identity::VolumeIdentity;
use aim_core::replay::{Replay, ReplayError};
use aim_core::units::{ByteLen, Lsn};
use aim_tests::{Series, SeriesFile};

use super::mirror::Mirror;

const SIZE: u64 = 32 * 512;

/// A series, and its files: three of anything, three of a baseline with a group over its end, one
/// of anything.
fn series(seed: u64) -> (Series, Vec<SeriesFile>) {
    let volume = VolumeIdentity::generate(ByteLen(SIZE), 512);
    let mut series = Series::new(volume, seed);
    let mut files: Vec<_> = (0..3).map(|_| series.next_file(8)).collect();
    let begin = series.position().lsn.next();
    let group = Kind::GroupBegin { hole: false };
    files.push(series.next_file_of(&[
        (Kind::BaselineBegin, 0, 0),
        (Kind::Write, 0, SIZE / 2),
        (Kind::Discard, 512, 512),
        // true on the source, and not on a mirror that does not hold the rest yet
        (Kind::Verify { digest: 0 }, 0, SIZE),
    ]));
    files.push(series.next_file_of(&[
        (Kind::WriteZeroes { unmap: true }, SIZE / 2, SIZE / 2),
        (Kind::BaselineEnd { begin }, 0, 0),
        (group, 0, 0),
        (Kind::Write, 1024, 512),
    ]));
    files.push(series.next_file_of(&[(Kind::GroupEnd, 0, 0), (Kind::Flush, 0, 0)]));
    files.push(series.next_file(8));
    (series, files)
}

/// The mirror has applied the first file, and lacks the next two.
fn start_behind_the_gap(mirror: &Mirror, series: &Series, files: &[SeriesFile]) {
    let mut replay = mirror.start().unwrap();
    let _ = replay.apply(&series.verified(&files[0])).unwrap();
    let spool = mirror.cursor_file();
    let noted = spool.update(|cursor| {
        cursor.received = files[6].position;
        cursor.base = files[3].position.file;
    });
    noted.unwrap();
}

fn apply_all(
    replay: &mut Replay,
    series: &Series,
    files: &[SeriesFile],
) -> Result<(), ReplayError> {
    let mut run = replay.start_run();
    for file in files {
        replay.extend_run(&mut run, &series.parsed(file))?;
        if run.is_complete() {
            let mut open = |number| {
                let file = files.iter().find(|file| file.position.file == number);
                Ok(series.parsed(file.unwrap()))
            };
            replay.apply_files(&run, &mut open)?;
            run = replay.start_run();
        }
    }
    Ok(())
}

#[test]
fn a_run_over_missing_files_ends_with_the_baseline_and_outside_of_a_group() {
    let (series, files) = series(1);
    let mirror = Mirror::new(series.identity(), 1);
    start_behind_the_gap(&mirror, &series, &files);
    let mut replay = mirror.start().unwrap();
    let mut run = replay.start_run();
    assert_eq!(run.next_file(), files[3].position.file);
    let mut extend = |index: usize| {
        let added = replay.extend_run(&mut run, &series.parsed(&files[index]));
        (added, run.is_complete(), run.waits_in_group())
    };
    // what comes before the baseline is of no use any more, and nothing but it can be next
    assert!(matches!(extend(1), (Ok(false), false, _)));
    assert!(matches!(extend(4), (Err(ReplayError::Link { .. }), ..)));
    let begin = Lsn(files[2].position.lsn.get() + 1);
    assert!(matches!(extend(3), (Ok(true), false, Some(lsn)) if lsn == begin));
    // it ends there, and a group is open
    assert!(matches!(extend(4), (Ok(true), false, Some(lsn)) if lsn > begin));
    assert!(matches!(extend(5), (Ok(true), true, None)));
    let mut open =
        |number: aim_core::units::FileNumber| Ok(series.parsed(&files[number.get() as usize - 1]));
    replay.apply_files(&run, &mut open).unwrap();
    assert_eq!(mirror.content(), files[5].devices);
    assert_eq!(replay.differences().mismatches(), 0);
    assert_eq!(replay.differences().skipped_bytes(), SIZE);
    let cursor = mirror.cursor();
    assert_eq!((cursor.applied, cursor.base.get()), (files[5].position, 0));
}

#[test]
fn after_a_power_cut_at_any_step_a_mirror_holds_the_instant_before_or_the_end() {
    let mut mixtures = 0;
    for seed in 0..6 {
        let (series, files) = series(seed);
        for step in 1.. {
            let mirror = Mirror::new(series.identity(), seed ^ (step << 8));
            start_behind_the_gap(&mirror, &series, &files);
            mirror.power.cut_at(mirror.power.steps() + step);
            let ended = mirror
                .start()
                .and_then(|mut replay| apply_all(&mut replay, &series, &files));
            mirror.power_cut(seed ^ step);
            let cursor = mirror.cursor();
            let held = files.iter().find(|file| file.position == cursor.applied);
            let is_held = held.is_some_and(|file| mirror.content() == file.devices);
            assert!(!cursor.is_settled() || is_held, "seed {seed}, step {step}");
            let inside = [1, 2, 3, 4].map(|index| files[index].position);
            assert!(!inside.contains(&cursor.applied), "{}", cursor.applied);
            mixtures += u64::from(!is_held);
            apply_all(&mut mirror.start().unwrap(), &series, &files).unwrap();
            assert_eq!(
                mirror.content(),
                files[6].devices,
                "seed {seed}, step {step}"
            );
            assert_eq!(mirror.cursor().applied, files[6].position);
            if ended.is_ok() {
                break;
            }
        }
    }
    assert!(mixtures > 0, "no cut hit the devices: this proves nothing");
}

//! What replay does when nothing goes wrong.

use aim_core::replay::Outcome;
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};

#[test]
fn the_devices_hold_what_the_source_held_after_each_file() {
    for seed in 0..20 {
        let mut series = Series::new(two_disks(), seed);
        let mirror = Mirror::new(series.identity(), seed);
        let mut replay = mirror.start().unwrap();
        for count in [1, 40, 3, 200] {
            let file = series.next_file(count);
            let Outcome::Applied(summary) = replay.apply(&series.verified(&file)).unwrap() else {
                panic!("seed {seed}: a new file was not applied");
            };
            assert_eq!(summary.transactions, u64::from(count));
            mirror.power_cut(seed);
            assert!(
                mirror.content() == file.devices,
                "seed {seed}, {}",
                file.position
            );
            let cursor = mirror.cursor();
            assert!(cursor.is_settled());
            assert_eq!(cursor.applied, file.position);
            assert_eq!(cursor.applied_time, file.last_time);
            replay = mirror.start().unwrap();
        }
    }
}

#[test]
fn a_file_that_was_applied_is_harmless() {
    let mut series = Series::new(two_disks(), 5);
    let mirror = Mirror::new(series.identity(), 5);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..3).map(|_| series.next_file(10)).collect();
    for file in &files {
        assert!(matches!(
            replay.apply(&series.verified(file)),
            Ok(Outcome::Applied(_))
        ));
    }
    let steps = mirror.power.steps();
    for file in &files {
        assert_eq!(
            replay.apply(&series.verified(file)).unwrap(),
            Outcome::AlreadyApplied
        );
    }
    assert_eq!(mirror.power.steps(), steps, "something was written");
    assert!(mirror.content() == files[2].devices);
}

#[test]
fn a_run_of_files_is_applied_as_one_and_may_begin_with_old_ones() {
    let mut series = Series::new(two_disks(), 6);
    let mirror = Mirror::new(series.identity(), 6);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..5).map(|_| series.next_file(20)).collect();
    let verified: Vec<_> = files.iter().map(|file| series.verified(file)).collect();
    replay.apply(&verified[0]).map(drop).unwrap();
    let run: Vec<_> = verified[..4].iter().collect();
    let summary = replay.apply_run(&run).unwrap();
    assert_eq!((summary.files_skipped, summary.files), (1, 3));
    assert_eq!(summary.reached, files[3].position);
    assert!(mirror.content() == files[3].devices);
    assert_eq!(replay.apply_run(&[]).unwrap().files, 0);
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let mut series = Series::new(two_disks(), 7);
    let mirror = Mirror::new(series.identity(), 7);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..3).map(|_| series.next_file(50)).collect();
    let verified: Vec<_> = files.iter().map(|file| series.verified(file)).collect();
    let run: Vec<_> = verified.iter().collect();
    let told = replay.dry_run(&run).unwrap();
    assert_eq!(mirror.power.steps(), 0);
    assert!(mirror.cursor().applied.is_start());
    assert!(
        replay.dry_run(&run[1..]).is_err(),
        "the first file is missing"
    );
    assert_eq!(replay.apply_run(&run).unwrap(), told);
    assert_eq!(told.transactions, 150);
    let plain = told.writes + told.zeroings + told.flushes + told.voids;
    assert!(told.groups > 0 && told.verifies > 0);
    assert_eq!(plain + told.verifies + 2 * told.groups, 150);
    assert_eq!(replay.dry_run(&run).unwrap().files, 0);
}

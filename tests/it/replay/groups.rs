//! Groups: all of it, from files that are opened one by one, or nothing.

use std::io::IoSlice;
use std::sync::{Arc, Weak};

use aim_core::fs::DirFile;
use aim_core::journal::{LinkError, ParsedFile, ReadError};
use aim_core::replay::{Replay, ReplayError, Run};
use aim_core::units::FileNumber;
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};
use super::plan::Plan;

/// The run of these files.
fn run_of(replay: &Replay, plan: &Plan, files: &[SeriesFile]) -> Run {
    let mut run = replay.start_run();
    for file in files {
        assert!(
            replay
                .extend_run(&mut run, &plan.series.parsed(file))
                .unwrap()
        );
    }
    run
}

#[test]
fn the_devices_hold_what_the_source_held_behind_each_group() {
    for seed in 0..10 {
        let plan = Plan::grouped(seed);
        let mirror = Mirror::new(plan.series.identity(), seed);
        let mut replay = mirror.start().unwrap();
        for files in &plan.runs {
            let files = &plan.files[files.clone()];
            let run = run_of(&replay, &plan, files);
            let told = replay.dry_run_files(&run, &mut |number| Ok(plan.open(number)));
            let done = replay.apply_files(&run, &mut |number| Ok(plan.open(number)));
            let done = done.unwrap();
            assert_eq!(told.unwrap(), done);
            let last = &files[files.len() - 1];
            assert_eq!(
                (done.files, done.reached),
                (files.len() as u64, last.position)
            );
            assert!(files.len() == 1 || done.groups > 0);
            mirror.power_cut(seed);
            assert!(
                mirror.content() == last.devices,
                "seed {seed}, {}",
                last.position
            );
            replay = mirror.start().unwrap();
        }
        assert_eq!(replay.differences().mismatches(), 0);
    }
}

#[test]
fn a_part_of_a_group_is_not_taken_and_is_no_fault_of_the_file() {
    let plan = Plan::grouped(3);
    let mirror = Mirror::new(plan.series.identity(), 3);
    let mut replay = mirror.start().unwrap();
    let verified: Vec<_> = plan
        .files
        .iter()
        .map(|file| plan.series.verified(file))
        .collect();
    replay.apply(&verified[0]).map(drop).unwrap();
    let steps = mirror.power.steps();
    let begin = plan.files[1].position.open_group;
    let in_group = |error: ReplayError, last: u64| {
        assert!(!error.is_refusal(), "{error}");
        assert!(
            matches!(error, ReplayError::InGroup { file, begin: found }
                if file == FileNumber(last) && found == begin),
            "{error}"
        );
    };
    in_group(replay.apply(&verified[1]).unwrap_err(), 2);
    in_group(
        replay.apply_run(&[&verified[1], &verified[2]]).unwrap_err(),
        3,
    );
    in_group(replay.dry_run(&[&verified[1]]).unwrap_err(), 2);
    let mut run = run_of(&replay, &plan, &plan.files[1..3]);
    assert!(!run.is_complete());
    assert_eq!(run.waits_in_group(), Some(begin));
    let mut never = |_| -> Result<ParsedFile, ReplayError> { panic!("a file is opened") };
    in_group(replay.apply_files(&run, &mut never).unwrap_err(), 3);
    in_group(replay.dry_run_files(&run, &mut never).unwrap_err(), 3);
    assert_eq!(mirror.power.steps(), steps, "something was written");
    assert!(mirror.content() == plan.files[0].devices);

    let third = plan.series.parsed(&plan.files[3]);
    assert!(replay.extend_run(&mut run, &third).unwrap());
    assert!(run.is_complete() && run.waits_in_group().is_none());
    replay
        .apply_run(&[&verified[0], &verified[1], &verified[2], &verified[3]])
        .unwrap();
    assert!(mirror.content() == plan.files[3].devices);
    // the run was made before
    let late = replay.apply_files(&run, &mut |number| Ok(plan.open(number)));
    assert!(matches!(late, Err(ReplayError::OtherStart { .. })));
}

#[test]
fn what_does_not_fit_is_found_by_the_header_before_anything_is_opened_whole() {
    let plan = Plan::grouped(4);
    let mirror = Mirror::new(plan.series.identity(), 4);
    let replay = mirror.start().unwrap();
    let mut run = run_of(&replay, &plan, &plan.files[..2]);
    let extend = |run: &mut Run, file: &ParsedFile| replay.extend_run(run, file);
    let gap = extend(&mut run, &plan.series.parsed(&plan.files[3])).unwrap_err();
    assert!(matches!(
        gap,
        ReplayError::Link {
            source: LinkError::Gap { .. },
            ..
        }
    ));
    // it says that it starts outside of the group
    let mut other = Series::new(two_disks(), 4);
    other.set_identity(plan.series.identity().clone());
    let mut outside = plan.files[1].position;
    outside.open_group = aim_core::units::Lsn(0);
    other.set_position(outside);
    let file = other.next_file(3);
    let error = extend(&mut run, &other.parsed(&file)).unwrap_err();
    assert!(error.is_refusal());
    assert!(matches!(
        error,
        ReplayError::Link {
            source: LinkError::OpenGroup { .. },
            ..
        }
    ));
    assert_eq!(run.files().len(), 2, "the run is as before");
    assert!(extend(&mut run, &plan.series.parsed(&plan.files[2])).unwrap());
}

#[test]
fn a_damaged_file_of_a_group_is_found_before_the_first_is_applied() {
    let plan = Plan::grouped(5);
    let mirror = Mirror::new(plan.series.identity(), 5);
    let mut replay = mirror.start().unwrap();
    let first = plan.series.verified(&plan.files[0]);
    replay.apply(&first).map(drop).unwrap();
    let steps = mirror.power.steps();
    let damaged = &plan.files[3];
    let name = damaged.name.sealed();
    let file = plan.series.folder().open(&name, true).unwrap();
    let last = file.len().unwrap() - 1;
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).unwrap();
    file.write_all_at(&[IoSlice::new(&[!byte[0]])], last)
        .unwrap();
    let run = run_of(&replay, &plan, &plan.files[1..4]);
    let error = replay.apply_files(&run, &mut |number| Ok(plan.open(number)));
    assert!(
        matches!(
            error,
            Err(ReplayError::Read {
                file: FileNumber(4),
                source: ReadError::Payload { .. }
            })
        ),
        "{error:?}"
    );
    assert_eq!(mirror.power.steps(), steps, "something was written");
    assert!(mirror.cursor().is_settled());
    file.write_all_at(&[IoSlice::new(&byte)], last).unwrap();
    // another file of the same number is none of the run
    let replaced = replay.apply_files(&run, &mut |number| {
        let shown = if number == FileNumber(4) {
            FileNumber(3)
        } else {
            number
        };
        Ok(plan.open(shown))
    });
    assert!(
        matches!(
            replaced,
            Err(ReplayError::Read {
                file: FileNumber(4),
                source: ReadError::Replaced
            })
        ),
        "{replaced:?}"
    );
    assert!(mirror.cursor().is_settled());
    replay
        .apply_files(&run, &mut |number| Ok(plan.open(number)))
        .unwrap();
    assert!(mirror.content() == plan.files[3].devices);
}

#[test]
fn one_file_of_a_group_is_open_at_a_time() {
    let mut series = Series::new(two_disks(), 6);
    let mut files: Vec<_> = (0..40).map(|_| series.next_file_in_group(4)).collect();
    files.push(series.next_file(4));
    let run = 0..files.len();
    let plan = Plan::of(series, files, vec![run]);
    let mirror = Mirror::new(plan.series.identity(), 6);
    let mut replay = mirror.start().unwrap();
    let run = run_of(&replay, &plan, &plan.files);
    let mut opened: Vec<Weak<dyn DirFile>> = Vec::new();
    let mut open = |number: FileNumber| {
        let still_open = opened.iter().filter(|file| file.strong_count() > 0);
        assert_eq!(still_open.count(), 0, "before {number}");
        let name = plan.files[number.get() as usize - 1].name.sealed();
        let file = plan.series.folder().open(&name, false).unwrap();
        opened.push(Arc::downgrade(&file));
        Ok(ParsedFile::open(file).unwrap())
    };
    replay.apply_files(&run, &mut open).unwrap();
    assert!(mirror.content() == plan.last().devices);
    assert_eq!(opened.len(), 2 * plan.files.len(), "verified, then applied");
}

#[test]
fn who_is_stopped_in_a_group_does_it_again() {
    let plan = Plan::grouped(7);
    for stop_at in 0..6 {
        let mirror = Mirror::new(plan.series.identity(), 7);
        let mut replay = mirror.start().unwrap();
        let first = plan.series.verified(&plan.files[0]);
        replay.apply(&first).map(drop).unwrap();
        let run = run_of(&replay, &plan, &plan.files[1..4]);
        let mut opened = 0;
        let stopped = replay.apply_files(&run, &mut |number| {
            opened += 1;
            match opened > stop_at {
                true => Err(ReplayError::Stopped),
                false => Ok(plan.open(number)),
            }
        });
        assert!(matches!(stopped, Err(ReplayError::Stopped)));
        // three to verify, then the intent
        assert_eq!(mirror.cursor().is_settled(), stop_at < 3);
        mirror.power_cut(stop_at);
        let mut replay = mirror.start().unwrap();
        plan.apply(&mut replay).unwrap();
        assert!(mirror.content() == plan.last().devices);
        assert_eq!(replay.differences().mismatches(), 0);
    }
}

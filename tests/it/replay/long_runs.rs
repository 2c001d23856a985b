//! Runs of files that could be applied one by one: what is behind a file that is wrong, or a stop, does
//! not hold up what is before it.

use std::io::{self, IoSlice};

use aim_core::journal::ReadError;
use aim_core::replay::{Replay, ReplayError, Run};
use aim_core::units::FileNumber;

use super::mirror::Mirror;
use super::plan::Plan;

fn whole_run(replay: &Replay, plan: &Plan) -> Run {
    let mut run = replay.start_run();
    for file in &plan.files {
        let added = replay.extend_run(&mut run, &plan.series.parsed(file));
        assert!(added.unwrap());
    }
    run
}

/// Flips the last byte of a file, which belongs to a payload.
fn flip_last_byte(plan: &Plan, index: usize) {
    let name = plan.files[index].name.sealed();
    let file = plan.series.folder().open(&name, true).unwrap();
    let last = file.len().unwrap() - 1;
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).unwrap();
    let flipped = [!byte[0]];
    file.write_all_at(&[IoSlice::new(&flipped)], last).unwrap();
}

/// What is applied when something about the file of this index is wrong: up to which index.
const BEFORE: [Option<usize>; 7] = [None, Some(0), Some(0), Some(0), Some(3), Some(4), Some(4)];

#[test]
fn what_is_before_a_damaged_file_is_applied_and_nothing_of_its_group() {
    for (damaged, before) in BEFORE.into_iter().enumerate() {
        let plan = Plan::grouped(11);
        let mirror = Mirror::new(plan.series.identity(), 11);
        let mut replay = mirror.start().unwrap();
        let run = whole_run(&replay, &plan);
        flip_last_byte(&plan, damaged);
        let error = replay.apply_files(&run, &mut |number| Ok(plan.open(number)));
        assert!(
            matches!(
                error,
                Err(ReplayError::Read {
                    file: FileNumber(number),
                    source: ReadError::Payload { .. }
                }) if number == damaged as u64 + 1
            ),
            "{damaged}: {error:?}"
        );
        // durably
        mirror.power_cut(damaged as u64);
        let cursor = mirror.cursor();
        assert!(cursor.is_settled(), "{damaged}");
        let expected = before.map(|index| plan.files[index].position);
        assert_eq!(cursor.applied, expected.unwrap_or_default(), "{damaged}");
        assert!(plan.is_as_applied(&cursor, &mirror.content()), "{damaged}");

        flip_last_byte(&plan, damaged);
        plan.apply(&mut mirror.start().unwrap()).unwrap();
        assert!(mirror.content() == plan.last().devices);
    }
}

#[test]
fn who_is_stopped_between_files_keeps_what_is_done() {
    let plan = Plan::new(12, 4);
    for stop_at in 0..4 {
        let mirror = Mirror::new(plan.series.identity(), 12);
        let mut replay = mirror.start().unwrap();
        let run = whole_run(&replay, &plan);
        let stopped = replay.apply_files(&run, &mut |number| match number > FileNumber(stop_at) {
            true => Err(ReplayError::Stopped),
            false => Ok(plan.open(number)),
        });
        assert!(matches!(stopped, Err(ReplayError::Stopped)));
        mirror.power_cut(stop_at);
        let cursor = mirror.cursor();
        assert!(cursor.is_settled());
        assert_eq!(cursor.applied.file, FileNumber(stop_at));
        assert!(plan.is_as_applied(&cursor, &mirror.content()));
        // the same applier goes on
        plan.apply(&mut replay).unwrap();
        assert!(mirror.content() == plan.last().devices);
    }
}

#[test]
fn what_an_interrupted_run_has_touched_is_not_forgotten_by_one_that_is_cut() {
    let plan = Plan::new(13, 4);
    let mut unsettled = 0;
    for step in 1.. {
        let mirror = Mirror::new(plan.series.identity(), 13);
        mirror.power.cut_at(step);
        if plan.apply(&mut mirror.start().unwrap()).is_ok() {
            break;
        }
        mirror.power_cut(step);
        let intent = mirror.cursor().intent;
        let mut replay = mirror.start().unwrap();
        if !mirror.cursor().applied.is_start() {
            continue;
        }
        let run = whole_run(&replay, &plan);
        let stopped = replay.apply_files(&run, &mut |number| match number > FileNumber(2) {
            true => Err(ReplayError::Stopped),
            false => Ok(plan.open(number)),
        });
        assert!(matches!(stopped, Err(ReplayError::Stopped)));
        let cursor = mirror.cursor();
        assert_eq!(cursor.applied, plan.files[1].position);
        if cursor.is_settled() {
            assert!(intent.is_start() && plan.is_as_applied(&cursor, &mirror.content()));
        } else {
            assert_eq!(cursor.intent, intent);
            unsettled += 1;
        }
        plan.apply(&mut replay).unwrap();
        assert!(mirror.content() == plan.last().devices && mirror.cursor().is_settled());
    }
    assert!(unsettled > 0, "this test proves nothing");
}

#[test]
fn where_a_run_can_be_applied_it_can_be_cut() {
    let plan = Plan::grouped(14);
    let mirror = Mirror::new(plan.series.identity(), 14);
    let replay = mirror.start().unwrap();
    let mut run = replay.start_run();
    let mut end = 0;
    assert!(!run.cut_to_complete());
    for (file, count) in plan.files.iter().zip(1..) {
        replay
            .extend_run(&mut run, &plan.series.parsed(file))
            .unwrap();
        let is_end = !file.position.is_in_group();
        assert_eq!(run.is_complete(), is_end);
        let first = &plan.files[end];
        let begin = (!is_end).then_some(first.position.open_group);
        assert_eq!(run.waits_in_group(), begin);
        end = if is_end { count } else { end };
        let mut cut = run.clone();
        assert!(cut.cut_to_complete() && cut.is_complete());
        assert_eq!(cut.files().len(), end);
        assert!(cut.may_grow() && run.may_grow());
    }
    let twice = |number| run.is_opened_twice(FileNumber(number));
    let twice: Vec<bool> = (1..=8).map(twice).collect();
    assert_eq!(twice, [false, true, true, true, false, true, true, false]);
}

#[test]
fn where_a_file_is_applied_in_part_the_run_is_not_cut_before_it() {
    let plan = Plan::new(15, 4);
    let mut in_part = 0;
    for step in 1.. {
        let mirror = Mirror::new(plan.series.identity(), 15);
        let mut replay = mirror.start().unwrap();
        let run = whole_run(&replay, &plan);
        mirror.power.fail_at(step, io::ErrorKind::Other);
        if replay
            .apply_files(&run, &mut |number| Ok(plan.open(number)))
            .is_ok()
        {
            break;
        }
        let cursor = mirror.cursor();
        let is_as_applied = plan.is_as_applied(&cursor, &mirror.content());
        assert!(is_as_applied || !cursor.is_settled(), "step {step}");
        in_part += u64::from(!is_as_applied);
        plan.apply(&mut replay).unwrap();
        assert!(mirror.content() == plan.last().devices, "step {step}");
    }
    assert!(in_part > 0, "this test proves nothing");
}

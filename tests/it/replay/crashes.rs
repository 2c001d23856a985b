//! Power cuts and errors at every step of an apply.

use std::io;

use aim_core::replay::ReplayError;
use aim_tests::Series;

use super::broken::{Broken, start};
use super::mirror::{Mirror, two_disks};
use super::plan::Plan;

/// What was seen over all the places where the power was cut.
#[derive(Debug, Default)]
struct Seen {
    cuts: u64,
    /// After the cut the devices were a mixture, and the cursor said so.
    mixtures: u64,
    /// After the cut the devices were not what the cursor said.
    differences: u64,
    /// Verify records that were skipped in what was done again.
    skipped: u64,
}

/// Cuts the power at each step of applying the plan, restarts, and applies the rest.
fn cut_everywhere(plan: &Plan, seed: u64, broken: Broken) -> Seen {
    let mut seen = Seen::default();
    for step in 1.. {
        let mirror = Mirror::new(plan.series.identity(), seed ^ (step << 8));
        mirror.power.cut_at(step);
        let finished = start(&mirror, broken).and_then(|mut replay| plan.apply(&mut replay));
        seen.cuts += 1;
        mirror.power_cut(seed ^ step);
        let cursor = mirror.cursor();
        let as_applied = plan.is_as_applied(&cursor, &mirror.content());
        match cursor.is_settled() {
            true => seen.differences += u64::from(!as_applied),
            false => seen.mixtures += u64::from(!as_applied),
        }
        let mut replay = start(&mirror, broken).unwrap();
        plan.apply(&mut replay).unwrap();
        if broken == Broken::Nothing {
            let told = replay.differences();
            assert_eq!(
                told.mismatches(),
                0,
                "a false alarm: seed {seed}, step {step}"
            );
            seen.skipped += u64::from(told.skipped_bytes() > 0);
        }
        mirror.power_cut(!seed);
        let last = plan.last();
        let arrived = mirror.cursor().applied == last.position && mirror.cursor().is_settled();
        seen.differences += u64::from(!arrived || mirror.content() != last.devices);
        if finished.is_ok() {
            assert!(step > 20, "only {step} steps to cut at");
            return seen;
        }
    }
    seen
}

#[test]
fn after_a_power_cut_at_any_step_the_mirror_is_a_past_of_the_source() {
    for run_len in [1, 2, 4] {
        let mut mixtures = 0;
        for seed in 0..6 {
            let plan = Plan::new(seed, run_len);
            let seen = cut_everywhere(&plan, seed, Broken::Nothing);
            assert_eq!(
                seen.differences, 0,
                "seed {seed}, runs of {run_len}: {seen:?}"
            );
            mixtures += seen.mixtures;
        }
        assert!(
            mixtures > 0,
            "no cut hit the devices: this test proves nothing"
        );
    }
}

#[test]
fn after_a_power_cut_at_any_step_no_group_is_there_in_part() {
    let (mut mixtures, mut skipped) = (0, 0);
    for seed in 0..24 {
        let plan = match seed % 2 {
            0 => Plan::grouped(seed),
            _ => Plan::grouped_in_one_run(seed),
        };
        let seen = cut_everywhere(&plan, seed, Broken::Nothing);
        assert_eq!(seen.differences, 0, "seed {seed}: {seen:?}");
        mixtures += seen.mixtures;
        skipped += seen.skipped;
    }
    assert!(mixtures > 0 && skipped > 0, "this test proves nothing");
}

#[test]
fn each_mechanism_is_needed() {
    for broken in [
        Broken::Intent,
        Broken::EarlyCursor,
        Broken::DeviceSync,
        Broken::FolderSync,
    ] {
        for plan in [|seed| Plan::new(seed, 1), Plan::grouped] {
            let is_noticed = |seed| cut_everywhere(&plan(seed), seed, broken).differences > 0;
            assert!((0..6).any(is_noticed), "without {broken:?} nothing is lost");
        }
    }
}

#[test]
fn who_overlooks_groups_stops_inside_of_one() {
    let is_noticed = |seed| {
        let plan = Plan::with_groups_overlooked(seed);
        cut_everywhere(&plan, seed, Broken::Nothing).differences > 0
    };
    assert!(
        (0..6).any(is_noticed),
        "a group that is applied early would not be noticed"
    );
}

#[test]
fn after_an_error_at_any_step_the_same_file_can_be_applied_again() {
    for seed in 0..8 {
        let plan = match seed % 3 {
            0 => Plan::new(seed, 1),
            1 => Plan::grouped(seed),
            _ => Plan::grouped_in_one_run(seed),
        };
        for step in 1.. {
            let mirror = Mirror::new(plan.series.identity(), seed ^ (step << 8));
            mirror.power.fail_at(step, io::ErrorKind::Other);
            let mut replay = mirror.start().unwrap();
            let finished = plan.apply(&mut replay);
            // no restart: the same applier goes on
            plan.apply(&mut replay).unwrap();
            mirror.power_cut(seed);
            assert!(mirror.cursor().is_settled(), "seed {seed}, step {step}");
            assert!(
                mirror.content() == plan.last().devices,
                "seed {seed}, step {step}"
            );
            if finished.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn after_an_error_and_then_the_end_of_the_process_at_any_steps_the_mirror_is_a_past() {
    let mut series = Series::new(two_disks(), 5);
    let files = (0..2).map(|_| series.next_file(12)).collect();
    let plan = Plan::of(series, files, vec![0..1, 1..2]);
    for failing in 1.. {
        for cut in 1.. {
            let mirror = Mirror::new(plan.series.identity(), failing << 16 | cut);
            mirror.power.fail_at(failing, io::ErrorKind::Other);
            let mut replay = mirror.start().unwrap();
            if plan.apply(&mut replay).is_ok() {
                return;
            }
            // no restart: the same applier goes on
            mirror.power.cut_at(failing + cut);
            let finished = plan.apply(&mut replay).is_ok();
            // the machine lives: what was done and not synced is still there
            mirror.power.restore();
            let cursor = mirror.cursor();
            assert!(
                !cursor.is_settled() || plan.is_as_applied(&cursor, &mirror.content()),
                "error at step {failing}, end {cut} steps later"
            );
            if finished {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_stops_before_the_device_is_touched_and_room_lets_it_go_on() {
    let plan = Plan::new(3, 1);
    let mirror = Mirror::new(plan.series.identity(), 3);
    mirror.file_system.set_capacity(Some(100));
    let mut replay = mirror.start().unwrap();
    let error = plan.apply(&mut replay).unwrap_err();
    assert!(matches!(error, ReplayError::Cursor(_)), "{error}");
    assert!(plan.is_as_applied(&mirror.cursor(), &mirror.content()));
    assert!(mirror.cursor().applied.is_start());
    mirror.file_system.set_capacity(None);
    plan.apply(&mut replay).unwrap();
    assert!(mirror.content() == plan.files[3].devices);
}

#[test]
fn an_interrupted_run_is_finished_by_the_same_files_even_one_by_one() {
    let plan = Plan::new(9, 4);
    let mirror = Mirror::new(plan.series.identity(), 9);
    // creation, write, sync, rename and folder sync of the cursor; the rest is the devices
    mirror.power.cut_at(5 + 12);
    assert!(plan.apply(&mut mirror.start().unwrap()).is_err());
    mirror.power_cut(9);
    assert_eq!(mirror.cursor().intent, plan.files[3].position);
    let mut replay = mirror.start().unwrap();
    for file in &plan.files {
        assert!(!mirror.cursor().is_settled(), "before {}", file.position);
        replay.apply(&plan.series.verified(file)).map(drop).unwrap();
    }
    assert!(mirror.cursor().is_settled());

    // another end of the series does not replace the one that was begun
    let mirror = Mirror::new(plan.series.identity(), 9);
    mirror.power.cut_at(5 + 12);
    assert!(plan.apply(&mut mirror.start().unwrap()).is_err());
    mirror.power_cut(9);
    let mut replay = mirror.start().unwrap();
    let mut other = Series::new(plan.series.identity().clone(), 77);
    other.set_position(plan.files[2].position);
    let other_end = other.next_file(5);
    for file in &plan.files[..3] {
        replay.apply(&plan.series.verified(file)).map(drop).unwrap();
    }
    let error = replay.apply(&other.verified(&other_end)).unwrap_err();
    assert!(matches!(error, ReplayError::OtherHistory { .. }), "{error}");
}

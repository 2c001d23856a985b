//! Files of any bytes, as the fuzz target `replay` makes them: a share of it that needs no
//! fuzzer.

use aim_tests::Rng;
use aim_tests::replay_fuzz::{Fates, replay_any_files};

#[test]
fn whatever_arrives_only_the_next_sound_file_is_applied() {
    let mut all = Fates::default();
    for seed in 0..4000 {
        let mut input = vec![0; 600];
        Rng::new(seed).fill(&mut input);
        let fates = replay_any_files(&input);
        all.unreadable += fates.unreadable;
        all.refused += fates.refused;
        all.repeated += fates.repeated;
        all.applied += fates.applied;
        all.grouped += fates.grouped;
        all.mismatches += fates.mismatches;
        all.matches += fates.matches;
    }
    // each fate is met often, or this shows nothing
    let least = all
        .unreadable
        .min(all.refused)
        .min(all.repeated)
        .min(all.applied)
        .min(all.grouped)
        .min(all.mismatches)
        .min(all.matches);
    assert!(least > 50, "{all:?}");
}

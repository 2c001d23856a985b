//! The seeds of a usual test run, and those that `cargo xtask sim` asks for.

use crate::runner::{run, run_many};
use crate::world::Options;

/// Seeds of a usual test run.
const SEEDS: u64 = 300;

/// Says how many seeds, and from which on.
const COUNT: &str = "AIM_SIM_SEEDS";
const FIRST: &str = "AIM_SIM_FROM";

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

#[test]
fn seeds_pass() {
    let (first, count) = (number(FIRST, 0), number(COUNT, SEEDS));
    let failed = match count {
        // whoever asks for one wants to see it
        1 => {
            let options = Options {
                prints: true,
                ..Options::default()
            };
            let ran = run(first, options);
            ran.failure.is_some().then_some(ran).into_iter().collect()
        }
        _ => run_many(first, count, Options::default()),
    };
    for ran in &failed {
        println!("{}", ran.report);
    }
    let passed = count - failed.len() as u64;
    println!("seeds: {passed} passed, {} failed", failed.len());
    assert!(failed.is_empty());
}

#[test]
fn a_seed_is_the_same_run_twice() {
    for seed in 0..30 {
        let [once, again] = [(); 2].map(|()| run(seed, Options::default()));
        assert_eq!(once.digest, again.digest, "seed {seed}");
    }
}

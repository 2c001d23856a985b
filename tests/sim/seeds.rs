//! The seeds of a usual test run, and those that `cargo xtask sim` asks for.

use crate::runner::{run, run_many};

/// Seeds of a usual test run.
const SEEDS: u64 = 200;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

#[test]
fn seeds_pass() {
    let (from, count) = (number("AIM_SIM_FROM", 0), number("AIM_SIM_SEEDS", SEEDS));
    if count == 1 {
        let ran = run(from, None, true);
        println!("{}", ran.report);
        assert!(ran.failure.is_none());
        return;
    }
    let failed = run_many(from, count, None);
    for ran in &failed {
        println!("{}", ran.report);
    }
    println!(
        "{} passed, {} failed",
        count - failed.len() as u64,
        failed.len()
    );
    assert!(failed.is_empty());
}

#[test]
fn a_seed_is_the_same_run_twice() {
    for seed in 0..20 {
        assert_eq!(run(seed, None, false).digest, run(seed, None, false).digest);
    }
}

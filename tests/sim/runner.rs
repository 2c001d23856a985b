//! Runs many seeds, and says what failed and how to repeat it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::broken::Broken;
use crate::failure::{Failure, Promise};
use crate::world::World;

/// What became of a seed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) seed: u64,
    pub(crate) digest: u64,
    pub(crate) failure: Option<Failure>,
    /// What people read about a failure.
    pub(crate) report: String,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, broken: Option<Broken>, prints: bool) -> Ran {
    let mut world = World::new(seed, broken, prints);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = match ended {
        Ok(ended) => ended.err(),
        Err(panic) => Some(Failure::new(
            Promise::P6,
            format!("panic: {}", said(&*panic)),
        )),
    };
    let report = failure
        .as_ref()
        .map(|failure| report(seed, &world, failure));
    Ran {
        seed,
        digest: world.log.digest(),
        failure,
        report: report.unwrap_or_default(),
    }
}

/// Runs `count` seeds from `first` on, on all processors; gives those that failed, in order.
pub(crate) fn run_many(first: u64, count: u64, broken: Option<Broken>) -> Vec<Ran> {
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let ran = run(seed, broken, false);
                    if ran.failure.is_some() {
                        failed.lock().unwrap().push(ran);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|ran| ran.seed);
    failed
}

fn report(seed: u64, world: &World, failure: &Failure) -> String {
    let mut text = format!("seed {seed} fails in step {}\n", world.log.step());
    text += &format!("  {failure}\nthe last events:\n");
    for event in world.log.last() {
        text += &format!("{event}\n");
    }
    text += &format!("repeat it: cargo xtask sim --seeds 1 --from {seed}\n");
    text
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without a word".to_owned())
}

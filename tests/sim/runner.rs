//! Runs many seeds, and says what failed and how to repeat it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aim_core::failpoint::Failpoint;

use crate::failure::{Failure, Promise};
use crate::world::{Options, World};

/// What became of a seed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) seed: u64,
    /// The same for the same run.
    pub(crate) digest: u64,
    pub(crate) failure: Option<Failure>,
    /// What people read about a failure.
    pub(crate) report: String,
    /// How often each failpoint was come by.
    pub(crate) hits: BTreeMap<Failpoint, u64>,
    /// Whether the host ended at the failpoint that was asked for.
    pub(crate) has_sprung: bool,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, options: Options) -> Ran {
    keep_panics_quiet();
    let mut world = World::new(seed, options);
    RUNS.set(true);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    RUNS.set(false);
    let failure = match ended {
        Ok(ended) => ended.err(),
        Err(_) => {
            let said = PANIC.take().unwrap_or_default();
            Some(Failure::new(Promise::P6, format!("panic: {said}")))
        }
    };
    let report = failure
        .as_ref()
        .map(|failure| report(seed, &world, failure));
    Ran {
        seed,
        digest: world.log.digest(),
        failure,
        report: report.unwrap_or_default(),
        hits: world.trap.hits(),
        has_sprung: world.trap.has_sprung(),
    }
}

/// Runs `count` seeds from `first` on, on all processors; gives those that failed, in order.
pub(crate) fn run_many(first: u64, count: u64, options: Options) -> Vec<Ran> {
    let mut failed = run_until(first, count, options, |_| false);
    failed.sort_by_key(|ran| ran.seed);
    failed
}

/// The first seed that is found to fail, if there is one among `count`.
pub(crate) fn first_failure(first: u64, count: u64, options: Options) -> Option<Ran> {
    run_until(first, count, options, |_| true)
        .into_iter()
        .next()
}

/// Gives the seeds that failed, until one of them is `enough`.
fn run_until(
    first: u64,
    count: u64,
    options: Options,
    enough: impl Fn(&Ran) -> bool + Sync,
) -> Vec<Ran> {
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let ran = run(seed, options);
                    if ran.failure.is_some() {
                        stop.fetch_or(enough(&ran), Ordering::Relaxed);
                        failed.lock().unwrap().push(ran);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
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

thread_local! {
    /// What the last panic in a run said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static RUNS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A panic in a run is a failure of its seed, and reported with it.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match RUNS.get() {
            true => PANIC.set(Some(panic.to_string())),
            false => usual(panic),
        }));
    });
}

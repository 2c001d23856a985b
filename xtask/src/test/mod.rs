//! `cargo xtask test`: every test, counted.

mod guest;
mod host;
mod tally;

use std::time::Instant;

use aim_vm::{Accel, Kernel};
use clap::Args;

use crate::bench;
use crate::cargo::{build_all, build_tests, cargo, stream};
use crate::fuzz;
use crate::outcome::{Outcome, Result};
use crate::powercut;
use crate::progress::{complain, detail, spelled, step};
use crate::setup;
use crate::sim;
use crate::test::tally::Counter;

/// Seconds of fuzzing, over all targets.
const SMOKE_SECONDS: u32 = 60;

/// Seeds of the simulator besides those of its own tests.
const SIMULATED_SEEDS: u64 = 2000;

/// Which tests, and where those that need ublk run.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run the tests that need ublk on this machine's own kernel, not in guests
    #[arg(long, conflicts_with = "kernels")]
    host: bool,
    /// Kernel of the guest (7.3 or 6.12); both if not given
    #[arg(long = "kernel", value_name = "KERNEL")]
    kernels: Vec<Kernel>,
    /// What runs the guests: auto, kvm or tcg
    #[arg(long, default_value = "auto")]
    accel: Accel,
    /// Leave out what runs on the host alone, and the fuzzing: only the guest tests
    #[arg(long)]
    guest_only: bool,
    /// Only tests whose name contains this; no fuzzing then
    filter: Option<String>,
}

/// Runs them all and says how many there were.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let start = Instant::now();
    setup::test_packages()?;
    step("building the workspace");
    let [aim, plain_loop, bench_guest] = build_all(["aim", "plain_loop", "bench-guest"])?;
    let mut run = Run {
        options,
        counter: Counter::default(),
        broken: Vec::new(),
    };
    if !options.guest_only {
        run.on_the_host()?;
    }
    let guest_tests = build_tests("guest")?;
    let bench_programs = bench::Programs::new(aim.clone(), plain_loop, bench_guest);
    let programs = guest::Programs {
        tests: guest_tests,
        aim,
    };
    if options.host {
        step("tests on a ublk device of this machine");
        let passed = host::run(&programs, options.filter.as_deref(), run.counter.clone())?;
        run.note("the tests on this machine's ublk", passed);
    } else {
        run.in_guests(&programs)?;
    }
    if options.filter.is_none() && !options.guest_only {
        let passed = sim::smoke(SIMULATED_SEEDS)?;
        run.note("the simulator", passed);
        if !options.host {
            step("instructions for a write");
            let passed = bench::capture_smoke(&bench_programs)?;
            run.note("the count of instructions for a write", passed);
            step("power cuts of both machines");
            let passed = powercut::smoke()?;
            run.note("the power cuts", passed);
        }
        step(&format!("fuzzing for {SMOKE_SECONDS} s"));
        let passed = fuzz::smoke(SMOKE_SECONDS)?;
        run.note("fuzzing", passed);
    }
    Ok(run.end(start))
}

/// The state of one run.
#[derive(Debug)]
struct Run<'a> {
    options: &'a Options,
    counter: Counter,
    broken: Vec<String>,
}

impl Run<'_> {
    fn on_the_host(&mut self) -> Result<()> {
        let filter = self.options.filter.as_deref();
        step("unit, documentation and integration tests");
        let mut tests = cargo(["test", "--workspace", "--locked", "--no-fail-fast"]);
        tests.args(filter);
        let status = stream(&mut tests, self.counter.clone())?;
        self.note("the tests on the host", status.success());

        step("tests of the test machine itself");
        // its guests must not start before the kernel is there: fetching would count as their time
        setup::kernel(Kernel::New)?;
        let words = [
            "test",
            "--locked",
            "--package",
            "aim-vm",
            "--test",
            "machine",
        ];
        let mut tests = cargo(words);
        tests.args(filter);
        let status = stream(&mut tests, self.counter.clone())?;
        self.note("the tests of the test machine", status.success());
        Ok(())
    }

    fn in_guests(&mut self, programs: &guest::Programs) -> Result<()> {
        let kernels = match &self.options.kernels[..] {
            [] => &Kernel::ALL[..],
            chosen => chosen,
        };
        for kernel in kernels {
            step(&format!(
                "tests on a ublk device, in a guest with kernel {kernel}"
            ));
            let filter = self.options.filter.as_deref();
            let counter = self.counter.clone();
            let passed = guest::run(programs, *kernel, self.options.accel, filter, counter)?;
            self.note(&format!("the tests in the {kernel} guest"), passed);
        }
        Ok(())
    }

    fn note(&mut self, what: &str, passed: bool) {
        if !passed {
            complain(&format!("{what} failed"));
            self.broken.push(what.to_owned());
        }
    }

    fn end(&self, start: Instant) -> Outcome {
        let tally = self.counter.tally();
        detail(&format!("all of it took {}", spelled(start.elapsed())));
        for what in &self.broken {
            complain(&format!("{what} failed"));
        }
        if tally.ignored > 0 {
            detail(&format!("{} ignored", tally.ignored));
        }
        println!("{} passed, {} failed", tally.passed, tally.failed);
        let ran = tally.passed > 0 && tally.failed == 0;
        if ran && self.broken.is_empty() {
            Outcome::Success
        } else {
            Outcome::Failure
        }
    }
}

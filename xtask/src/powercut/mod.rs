//! `cargo xtask powercut`: the power of source and mirror goes at random moments, and what was
//! promised is looked for.
//!
//! Both machines have disks that lose their cache with the power ([`aim_nbd`]). A round puts a load
//! on the device, cuts the power of one machine or of both at a request to their disks that was
//! chosen before, starts them on what the disks kept, and checks:
//!
//! - everything that the load was told to be durable is there (else it is *lost*);
//! - while the source is off, the mirror is a past of the source; when all is drained it is the
//!   source, byte for byte (else it is a *divergence*);
//! - the pair comes back and comes to rest (else it is *stuck*).
//!
//! The next round goes on with the same disks.

mod machine;
mod pair;
mod plan;
mod site;
mod tally;

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aim_vm::{Kernel, KernelImage};
use clap::Args;

use self::machine::Trouble;
use self::pair::{Failure, Pair};
use self::plan::Plan;
use self::tally::Tally;
use crate::cargo;
use crate::outcome::{Outcome, Result};
use crate::progress::{complain, detail, spelled, step};
use crate::setup;

/// How many rounds, and which.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds; 2 are one cut of each machine
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// What everything random follows; another one each time if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Number of the first round: a failed one is repeated by its seed and its number
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Rounds on the same pair of disks before there is a fresh one
    #[arg(long, default_value_t = 5)]
    pair: u64,
    /// Kernel of the machines: 7.3 or 6.12
    #[arg(long, default_value = "7.3")]
    kernel: Kernel,
}

/// One cut of each machine, as a part of all tests; true if everything held.
pub(crate) fn smoke() -> Result<bool> {
    let options = Options {
        count: 2,
        seed: None,
        from: 1,
        pair: 5,
        kernel: Kernel::default(),
    };
    Ok(run(&options)? == Outcome::Success)
}

/// Runs them all; [`Outcome::Failure`] if anything did not hold.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    setup::packages()?;
    let image = setup::kernel(options.kernel)?;
    step("Building aim");
    let aim = cargo::build_binaries("aim")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = options
        .seed
        .unwrap_or(now.as_nanos() as u64 % 1_000_000_000);
    let mut run = Run {
        options,
        image,
        aim,
        seed,
        pair: None,
        tally: Tally::default(),
    };
    let start = Instant::now();
    for place in 0..options.count {
        if place % options.pair.max(1) == 0 {
            run.pair = None;
        }
        run.round(options.from + place)?;
    }
    detail(&format!("took {}", spelled(start.elapsed())));
    println!("{}", run.tally);
    Ok(run.tally.outcome())
}

#[derive(Debug)]
struct Run<'a> {
    options: &'a Options,
    image: KernelImage,
    aim: PathBuf,
    seed: u64,
    pair: Option<Pair>,
    tally: Tally,
}

impl Run<'_> {
    /// One round; errors are those of this host.
    fn round(&mut self, number: u64) -> Result<()> {
        let start = Instant::now();
        let plan = Plan::new(self.seed, number);
        let last = self.options.from + self.options.count - 1;
        let seed = self.seed;
        step(&format!("Round {number} of {last}, seed {seed}: {plan}"));
        let (mut pair, begun) = match self.pair.take() {
            Some(pair) => (pair, Ok(())),
            None => {
                let mut pair = Pair::new(&self.image, &self.aim)?;
                let begun = pair.begin();
                (pair, begun)
            }
        };
        let outcome = begun
            .map_err(Failure::Stuck)
            .and_then(|()| pair.round(&plan));
        self.tally.count(outcome.as_ref().err());
        match outcome {
            Ok(()) => {
                let took = spelled(start.elapsed());
                detail(&format!("nothing lost, and identical; took {took}"));
                self.pair = Some(pair);
            }
            Err(Failure::Stuck(Trouble::Host(error))) => return Err(error),
            Err(failure) => {
                complain(&format!("round {number}: {failure}"));
                let folder = pair.keep(&format!("failed-{seed}-{number}"))?;
                detail(&format!("its disks and logs are in {}", folder.display()));
                let words = format!("cargo xtask powercut --seed {seed} --from {number} --count 1");
                detail(&format!("the same plan on fresh disks: {words}"));
            }
        }
        Ok(())
    }
}

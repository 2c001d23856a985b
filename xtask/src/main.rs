//! The commands that people and CI call: `cargo xtask vm | test | sim | powercut | fuzz | bench | demo | setup`.

mod bench;
mod cargo;
mod demo;
mod fuzz;
mod keys;
mod outcome;
mod powercut;
mod progress;
mod setup;
mod sim;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Runs AIM's tests, its demo and its test machine"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Installs the Debian packages that building and testing need, and moto
    Setup,
    /// Shows a disk being mirrored from one machine to another, and a power failure
    Demo,
    /// Simulates both hosts and all that can go wrong with them, as seeds say
    Sim(sim::Options),
    /// Cuts the power of source and mirror at random moments, and looks what is left
    Powercut(powercut::Options),
    /// Runs one command as root in a throw-away guest with a Debian kernel
    Vm(vm::Options),
    /// Runs every test: unit, documentation, integration, guest and a minute of fuzzing
    Test(test::Options),
    /// Runs the fuzz targets, each for its share of the time
    Fuzz(fuzz::Options),
    /// Measures how fast it is, beside others that do the job
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::test_packages().map(|()| Outcome::Success),
        Task::Demo => demo::run(),
        Task::Sim(options) => sim::run(&options),
        Task::Powercut(options) => powercut::run(&options),
        Task::Vm(options) => vm::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            progress::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

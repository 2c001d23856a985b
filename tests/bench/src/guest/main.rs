//! Runs in the guest: makes each device in turn, has fio work on it, and takes it away.
//!
//! `bench-guest PLAN`: the plan is JSON, and so is each line that it prints. As root, in a machine
//! that may be thrown away: the disks of the plan are overwritten.

mod aim;
mod device;
mod disks;
mod drbd;
mod fio;
mod process;
mod shell;

use std::error::Error;
use std::process::ExitCode;

use aim_bench::Plan;

use crate::device::Device;

/// What goes wrong here is only ever shown.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let plan = std::env::args().nth(1).ok_or("usage: bench-guest PLAN")?;
    let plan: Plan = serde_json::from_str(&plan)?;
    disks::prepare(&plan)?;
    for round in 0..plan.rounds {
        let count = plan.subjects.len();
        for turn in 0..count {
            let turn = if round % 2 == 0 {
                turn
            } else {
                count - 1 - turn
            };
            let subject = &plan.subjects[turn];
            let mut device = Device::start(&plan, &subject.kind)
                .map_err(|error| format!("{}: {error}", subject.name))?;
            for job in &plan.jobs {
                eprintln!("round {}: {}: {}", round + 1, subject.name, job.name);
                let mut sample = fio::run(device.path(), job)?;
                sample.round = round;
                sample.subject.clone_from(&subject.name);
                println!("{}", serde_json::to_string(&sample)?);
                device
                    .rest(sample.writes)
                    .map_err(|error| format!("{}: {}: {error}", subject.name, job.name))?;
            }
            device
                .end()
                .map_err(|error| format!("{}: {error}", subject.name))?;
        }
    }
    Ok(())
}

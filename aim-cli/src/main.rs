//! The program aim: mirrors block devices by journal files.

mod args;
mod command;
mod config;
mod daemon;
mod disk;
mod doctor;
mod exit;
mod failure;
mod far;
mod host;
mod logging;
mod output;
mod progress;
mod state;
mod state_folder;
mod time;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, ConfigCommand};
use exit::Exit;
use failure::{Outcome, Problem};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let json = arguments.output.json;
    match dispatch(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            match json {
                true => eprintln!("{}", failure.to_json()),
                false => eprintln!("{failure}"),
            }
            failure.exit.into()
        }
    }
}

fn dispatch(arguments: Arguments) -> Outcome {
    let Arguments { output, command } = arguments;
    if let Command::Run(args) = &command {
        return command::run(args, &output);
    }
    let format = output.log_format.unwrap_or_default();
    logging::start(
        format,
        &logging::filter(output.log_level.as_deref(), "warn"),
    )?;
    match command {
        Command::Config(ConfigCommand::Check(args)) => command::config_check(&args, &output),
        Command::Init(args) => command::init(&args, &output),
        Command::Run(_) => Ok(Exit::Success),
        Command::Doctor(args) => command::doctor(&args, &output),
        Command::Status(args) => command::status(&args, &output),
        Command::Upgrade(args) => command::upgrade(&args, &output),
        Command::Abandon(args) => command::abandon(&args, &output),
        Command::Wait(args) => command::wait(&args, &output),
        Command::Sync(args) => command::sync(&args, &output),
        Command::Verify(args) => command::verify(&args, &output),
        Command::Journal(args) => command::journal(&args, &output),
    }
}

/// Help and version go to stdout and succeed; what clap refuses is a usage error.
fn refuse(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let what = text.trim_start_matches("error: ").trim_end();
        let failure = Problem::new(what).exit(Exit::Usage);
        eprintln!("{}", failure.to_json());
        return failure.exit.into();
    }
    // nothing is left to do where stdout or stderr is closed
    let _ = error.print();
    match error.use_stderr() {
        true => Exit::Usage.into(),
        false => Exit::Success.into(),
    }
}

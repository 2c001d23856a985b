//! `aim run`: everything of the configuration, until a signal.

use std::sync::mpsc::{self, Receiver};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::config_check::checked;
use crate::args::{ConfigArgs, Output};
use crate::daemon::{Control, RunLock, Service, isolate};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::logging;

/// Runs the command.
pub(crate) fn run(args: &ConfigArgs, out: &Output) -> Outcome {
    let checked = checked(&args.config)?;
    let told = &checked.config;
    let format = out.log_format.or(told.log_format).unwrap_or_default();
    let fallback = told.log_level.as_deref().unwrap_or("info");
    logging::start(format, &logging::filter(out.log_level.as_deref(), fallback))?;
    let config = checked.warned();
    // before files are opened and threads started
    isolate(!config.volumes.is_empty())?;
    let signals = listen()?;
    let _lock = RunLock::take(&config.run_dir)?;
    let service = Service::start(&config)?;
    let asked = service.clone();
    let control = Control::start(config.socket(), move |request| asked.answer(request))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %config.path.display(),
        "running"
    );
    service.run(&signals);
    tracing::info!("stopping");
    let well = service.stop(&signals);
    drop(control);
    tracing::info!("stopped");
    Ok(match well {
        true => Exit::Success,
        false => Exit::Degraded,
    })
}

/// The signal at which the process ends at once, whatever it waits for.
const LAST_SIGNAL: usize = 3;

/// Signals that ask for an end, on a channel.
fn listen() -> Outcome<Receiver<i32>> {
    let failed = |error: &std::io::Error| Problem::new("can't listen for signals").io(error);
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| failed(&error))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("aim-signals".to_owned())
        .spawn(move || {
            for (count, signal) in (1..).zip(signals.forever()) {
                if count >= LAST_SIGNAL {
                    tracing::error!(
                        "third signal: ending at once; what is not in the journal yet lies in \
                         the staging ring, and the next start takes it from there"
                    );
                    std::process::exit(Exit::Failed.number().into());
                }
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| failed(&error))?;
    Ok(receiver)
}

//! `aim run`: everything of the configuration, until a signal.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use super::config_check::checked;
use crate::args::{ConfigArgs, Output};
use crate::daemon::{
    Answers, Control, EndAsked, Handover, Orphans, Program, Request, RunLock, Service, isolate,
    notify, signals,
};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::logging;

/// Runs the command.
pub(crate) fn run(args: &ConfigArgs, out: &Output) -> Outcome {
    let checked = checked(&args.config)?;
    let told = &checked.config;
    let format = out.log_format.or(told.log_format).unwrap_or_default();
    let fallback = told.log_level.as_deref().unwrap_or("info");
    logging::start(format, &logging::filter(out.log_level.as_deref(), fallback))?;
    let config = checked.warned();
    let program = Program::of_this_process()
        .map_err(|error| Problem::new("can't tell how this program was started").io(&error))?;
    let orphans = Orphans::find();
    // before files are opened and threads started
    isolate(&config)?;
    orphans.reap();
    let (signals, end_asked) = listen()?;
    let _lock = RunLock::take(&config.run_dir)?;
    let daemon = Daemon {
        service: Service::start(&config)?,
        handover: Arc::new(Handover::new(program, &config, end_asked)),
    };
    let control = Control::start(config.socket(), daemon.clone())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %config.path.display(),
        "running"
    );
    notify::ready();
    let leave = daemon.until_the_end(&signals);
    daemon.handover.close();
    notify::stopping();
    if leave {
        daemon.service.leave();
        drop(control);
        std::process::exit(Exit::Success.number().into());
    }
    tracing::info!("stopping");
    let well = daemon.service.stop(&signals);
    drop(control);
    tracing::info!("stopped");
    Ok(match well {
        true => Exit::Success,
        false => Exit::Degraded,
    })
}

/// What runs, and how to hand it over.
#[derive(Clone)]
struct Daemon {
    service: Arc<Service>,
    handover: Arc<Handover>,
}

impl Daemon {
    /// Waits for the signal to stop, or (`true`) to leave the devices to a successor.
    fn until_the_end(&self, signals: &Receiver<i32>) -> bool {
        loop {
            match self.service.run(signals) {
                // why it does not is logged; whoever sent the signal does not hear of it
                SIGHUP => drop(self.hand_over()),
                SIGUSR2 if !self.service.outlives_its_process() => {
                    tracing::error!("devices would end with this process: stopping them instead");
                    return false;
                }
                signal => return signal == SIGUSR2,
            }
        }
    }
}

impl Answers for Daemon {
    fn answer(&self, request: &Request) -> Result<Value, String> {
        self.service.answer(request)
    }

    fn hand_over(&self) -> Failure {
        if !self.service.outlives_its_process() {
            return Problem::new(
                "this kernel's ublk driver can't give a device to another process",
            )
            .hint("stop aim and start it again; Linux 6.0 or newer can")
            .exit(Exit::Failed);
        }
        self.handover.hand_over(&self.service.live_volumes())
    }
}

/// The signal to stop at which the process ends at once, whatever it waits for.
const LAST_SIGNAL: usize = 3;

/// Signals that ask for something, on a channel.
fn listen() -> Outcome<(Receiver<i32>, EndAsked)> {
    let failed = |error: &std::io::Error| Problem::new("can't listen for signals").io(error);
    // known before anybody hears of the signal
    let end_asked = EndAsked::listen().map_err(|error| failed(&error))?;
    let mut signals = Signals::new(signals::SIGNALS).map_err(|error| failed(&error))?;
    // whoever has executed this program may have kept them for it
    signals::release().map_err(|error| failed(&error))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("aim-signals".to_owned())
        .spawn(move || {
            let mut count = 0;
            for signal in signals.forever() {
                tracing::info!(signal = signal_name(signal), "a signal has come");
                count += usize::from(matches!(signal, SIGTERM | SIGINT));
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
    Ok((receiver, end_asked))
}

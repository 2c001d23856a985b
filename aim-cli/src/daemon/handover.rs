//! Hands everything over to a new version of the program, in this process.
//!
//! ```text
//! old:  new file checks the configuration ── execute it
//!                                               │   every device waits, its users get no error
//! new:  volumes take their devices over ── devices go on
//! ```
//!
//! It is what happens when the process is killed and started again, with the same number of the
//! process, and with a look at the new file before.

use std::io::Read;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::program::Program;
use super::signals::EndAsked;
use super::{notify, signals};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// How long the new file may look at the configuration.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(10);

/// What is needed to hand over.
#[derive(Debug)]
pub(crate) struct Handover {
    program: Program,
    config: std::path::PathBuf,
    end_asked: EndAsked,
    /// Whether it is too late; held while it is tried.
    closed: Mutex<bool>,
}

impl Handover {
    /// Hands over to `program` with this configuration's file, unless that was asked to end.
    pub(crate) fn new(program: Program, config: &Config, end_asked: EndAsked) -> Self {
        Self {
            program,
            config: config.path.clone(),
            end_asked,
            closed: Mutex::new(false),
        }
    }

    /// From here on nothing is handed over: everything stops.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Executes the program file anew, if it accepts the configuration, and that still has the
    /// volumes of these names. Returns only where something is in the way; nothing has changed
    /// then.
    pub(crate) fn hand_over(&self, volumes: &[&str]) -> Failure {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return stopping();
        }
        // only a thread of its own can go back to where the program was started
        let failure = thread::scope(|scope| {
            let attempt = thread::Builder::new()
                .name("aim-handover".to_owned())
                .spawn_scoped(scope, || match self.attempt(volumes) {
                    Ok(never) => match never {},
                    Err(failure) => failure,
                });
            match attempt.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(failure)) => failure,
                Ok(Err(_)) => Problem::new("the hand-over panicked").exit(Exit::Failed),
                Err(error) => Problem::new("can't start a thread").io(&error),
            }
        });
        tracing::error!(
            error = failure.brief(),
            "not handed over: everything goes on as it was"
        );
        failure
    }

    fn attempt(&self, volumes: &[&str]) -> Outcome<std::convert::Infallible> {
        self.program.go_back().map_err(|error| {
            Problem::new("can't go back to where the program was started")
                .hint("it needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, and the folder to be there still")
                .io(&error)
        })?;
        let accepted = self.ask_new()?;
        if let Some(lost) = volumes.iter().find(|name| !accepted.contains(name)) {
            return Err(Problem::new(format!(
                "the configuration has no volume `{lost}` any more, and its device is live"
            ))
            .at(self.config.display())
            .hint("what uses the device would wait for ever: put it back, or stop aim instead")
            .exit(Exit::Usage));
        }
        let cannot = |error: &std::io::Error| {
            Problem::new("can't execute the program")
                .at(self.program.path().display())
                .io(error)
        };
        // this thread ends if it is not executed, and the others go on to hear of them
        signals::hold().map_err(|error| cannot(&error))?;
        if self.end_asked.is_true() {
            return Err(stopping());
        }
        tracing::info!(program = %self.program.path().display(), "handing over");
        notify::reloading();
        let error = self.program.execute();
        notify::ready();
        Err(cannot(&error))
    }

    /// Has the new file check the configuration. Gives the volumes that it found.
    fn ask_new(&self) -> Outcome<Accepted> {
        let path = self.program.path().display();
        let cannot = || Problem::new("the program can't be executed").at(&path);
        let mut child = self
            .program
            .command()
            .args(["config", "check", "--json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot().io(&error))?;
        let Some(status) = wait(&mut child).map_err(|error| cannot().io(&error))? else {
            return Err(
                Problem::new("the program does not end its check of the configuration")
                    .at(&path)
                    .exit(Exit::Timeout),
            );
        };
        let [said, complaint] = [drain(child.stdout.take()), drain(child.stderr.take())];
        if !status.success() {
            // there may be lines of a log besides
            let failure = complaint.lines().rev().find_map(Failure::from_json);
            return Err(failure.unwrap_or_else(|| {
                let mut problem =
                    Problem::new(format!("the program ended with {status}")).at(&path);
                problem.causes.extend(complaint.lines().map(str::to_owned));
                problem.exit(Exit::Failed)
            }));
        }
        serde_json::from_str(&said).map_err(|error| {
            Problem::new("the program does not say what is in the configuration")
                .at(&path)
                .because(&error)
                .hint("is it aim, of this version or a later one?")
                .exit(Exit::Failed)
        })
    }
}

fn stopping() -> Failure {
    Problem::new("aim is stopping").exit(Exit::Busy)
}

/// What a check of the configuration prints.
#[derive(Debug, Deserialize)]
struct Accepted {
    volumes: Vec<String>,
}

impl Accepted {
    fn contains(&self, name: &str) -> bool {
        self.volumes.iter().any(|volume| volume == name)
    }
}

/// Waits for the end of a child that says little; ends one that takes too long.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(RETRY);
    }
}

/// What lies in the pipe of a child that has ended.
fn drain(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut pipe) = pipe
        && let Err(error) = pipe.read_to_string(&mut text)
    {
        tracing::debug!(%error, "what the program said can't be read");
    }
    text
}

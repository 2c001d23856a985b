//! Watching a volume of the running daemon until something has happened.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Output;
use crate::config::{Config, Entry, Span, VolumeConfig};
use crate::daemon::{Request, State, VolumeReport, ask, order};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::output;

/// How often the daemon is asked.
const INTERVAL: Duration = Duration::from_millis(100);
/// Between two lines of JSON.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// A volume that is looked at again and again.
#[derive(Debug)]
pub(super) struct Watch {
    socket: PathBuf,
    volume: String,
    /// Only this target of it.
    target: Option<String>,
    started: Instant,
    timeout: Option<Duration>,
    /// The daemon that was asked first.
    pid: Option<u32>,
    /// When a line of JSON was printed last.
    said: Option<Instant>,
}

impl Watch {
    /// Watches the volume NAME for at most `timeout`.
    ///
    /// # Errors
    ///
    /// NAME is no volume of the configuration.
    pub(super) fn new(
        config: &Config,
        name: &str,
        target: Option<&str>,
        timeout: Option<Span>,
    ) -> Outcome<Self> {
        let volume = match config.entry(name)? {
            Entry::Volume(volume) => {
                require_target(volume, target)?;
                volume.name.clone()
            }
            Entry::Mirror(mirror) => {
                return Err(Problem::new(format!("`{name}` is a mirror"))
                    .at(format!("[mirror.{}]", mirror.name))
                    .hint("say it on the source, of its volume: the mirror is told by the files")
                    .exit(Exit::Usage));
            }
        };
        Ok(Self {
            socket: config.socket(),
            volume,
            target: target.map(str::to_owned),
            started: Instant::now(),
            timeout: timeout.map(|span| span.0),
            pid: None,
            said: None,
        })
    }

    /// Name of the volume.
    pub(super) fn volume(&self) -> &str {
        &self.volume
    }

    /// The target of it that is meant; `None`: all.
    pub(super) fn target(&self) -> Option<String> {
        self.target.clone()
    }

    /// Asks the daemon for something.
    pub(super) fn order<T: DeserializeOwned>(&self, request: &Request) -> Outcome<T> {
        order(&self.socket, request)?.ok_or_else(|| no_daemon(&self.socket))
    }

    /// How the volume is.
    ///
    /// # Errors
    ///
    /// It does not run, or the daemon is another one than before: it knows nothing of what was
    /// asked.
    pub(super) fn look(&mut self) -> Outcome<VolumeReport> {
        let report = ask(&self.socket)?.ok_or_else(|| no_daemon(&self.socket))?;
        let pid = report.daemon.pid.unwrap_or_default();
        if *self.pid.get_or_insert(pid) != pid {
            return Err(Problem::new("aim was started anew meanwhile")
                .at(&self.volume)
                .hint("what has to be copied is still known; ask again")
                .exit(Exit::Degraded));
        }
        let mut volumes = report.volumes.into_iter();
        let volume = volumes.find(|report| report.name == self.volume);
        let volume = volume.ok_or_else(|| {
            Problem::new("the daemon does not run this volume")
                .at(&self.volume)
                .hint("was the configuration changed since it was started? restart it")
                .exit(Exit::NotFound)
        })?;
        match volume.state {
            State::Failed | State::Stopping | State::Stopped => {
                let what = format!("{} is in state `{}`", volume.name, volume.state.word());
                let mut problem = Problem::new(what);
                problem.causes.extend(volume.last_error);
                Err(problem
                    .hint("waiting would not end; see `aim status` and the log")
                    .exit(Exit::Degraded))
            }
            _ => one_target(volume, self.target.as_deref()),
        }
    }

    /// Lets some time pass until the next look.
    ///
    /// # Errors
    ///
    /// Time is up; `behind` says what is missing.
    pub(super) fn pause(&self, behind: impl FnOnce() -> String) -> Outcome<()> {
        if let Some(timeout) = self.timeout
            && self.started.elapsed() >= timeout
        {
            let mut problem = Problem::new(format!("not done within {timeout:?}")).at(&self.volume);
            problem.causes.push(behind());
            return Err(problem
                .hint("it goes on; `aim status --watch` shows it")
                .exit(Exit::Timeout));
        }
        std::thread::sleep(INTERVAL);
        Ok(())
    }

    /// Prints a line of JSON, with `--json`, if the last one was long enough ago.
    pub(super) fn tell(&mut self, out: &Output, line: &impl Serialize) -> Outcome<()> {
        let is_due = self.said.is_none_or(|said| said.elapsed() >= LINE_INTERVAL);
        if out.json && is_due {
            self.said = Some(Instant::now());
            output::json(line)?;
        }
        Ok(())
    }
}

/// Refuses a target that the volume does not have.
pub(super) fn require_target(volume: &VolumeConfig, target: Option<&str>) -> Outcome<()> {
    let Some(name) = target else { return Ok(()) };
    let names: Vec<&str> = volume
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    match names.contains(&name) {
        true => Ok(()),
        false => Err(
            Problem::new(format!("no target of {} is called `{name}`", volume.name))
                .at(format!("[volume.{}]", volume.name))
                .hint(format!("it has: {}", names.join(", ")))
                .exit(Exit::NotFound),
        ),
    }
}

/// How a volume is, as far as `target` is concerned, or all are.
pub(super) fn one_target(volume: VolumeReport, target: Option<&str>) -> Outcome<VolumeReport> {
    let Some(target) = target else {
        return Ok(volume);
    };
    let name = volume.name.clone();
    volume.of_target(target).ok_or_else(|| {
        Problem::new(format!("the daemon does not ship to `{target}`"))
            .at(name)
            .hint("was the configuration changed since it was started? restart it")
            .exit(Exit::NotFound)
    })
}

/// The failure where a daemon is needed.
pub(super) fn no_daemon(socket: &Path) -> Failure {
    Problem::new("no aim is running")
        .at(socket.display())
        .hint("start `aim run`; or is it another run_dir?")
        .exit(Exit::Degraded)
}

//! `aim wait`: returns when what was captured so far is applied on the mirror.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::{Output, WaitArgs};
use crate::config::{self, Config, Entry, MirrorConfig};
use crate::daemon::{MirrorReport, Report, State, VolumeReport, ask};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::output;
use crate::progress;

use super::watch::{no_daemon, one_target, require_target};

/// How often the daemon is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn wait(args: &WaitArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let socket = config.socket();
    let started = Instant::now();
    let mut goal = None;
    let bar = progress::transactions(out, 0);
    loop {
        let report = ask(&socket)?.ok_or_else(|| no_daemon(&socket))?;
        let step = look(&config, args, &report, &mut goal)?;
        step.show(&bar);
        if let Step::Done { lsn } = step {
            bar.finish_and_clear();
            return done(&args.name, lsn, started.elapsed(), out);
        }
        if let Some(timeout) = args.timeout
            && started.elapsed() >= timeout.0
        {
            return Err(too_late(&args.name, timeout.0, &step));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Where the wait stands.
enum Step {
    Done {
        lsn: u64,
    },
    Behind {
        at: Option<u64>,
        goal: Option<u64>,
        trouble: Option<String>,
    },
}

impl Step {
    /// Moves the bar, and says what is in the way.
    fn show(&self, bar: &ProgressBar) {
        if let Self::Behind {
            at: Some(at),
            goal: Some(goal),
            trouble,
        } = self
        {
            bar.set_length(*goal);
            bar.set_position(*at);
            bar.set_message(trouble.clone().unwrap_or_default());
        }
    }
}

fn look(
    config: &Config,
    args: &WaitArgs,
    report: &Report,
    goal: &mut Option<u64>,
) -> Outcome<Step> {
    let (name, target) = (args.name.as_str(), args.target.as_deref());
    let missing = || {
        Problem::new("the daemon does not run this volume or mirror")
            .at(name)
            .hint("was the configuration changed since it was started? restart it")
            .exit(Exit::NotFound)
    };
    match config.entry(name)? {
        Entry::Volume(volume) => {
            let mut all = report.volumes.iter();
            let found = all.find(|report| report.name == volume.name);
            require_target(volume, target)?;
            let found = found.ok_or_else(missing)?.clone();
            volume_step(&one_target(found, target)?, goal)
        }
        Entry::Mirror(mirror) => {
            let mut all = report.mirrors.iter();
            let found = all.find(|report| report.name == mirror.name);
            let found = found.ok_or_else(missing)?;
            match target {
                Some(target) => passed_on_step(mirror, found, target, goal),
                None => mirror_step(found),
            }
        }
    }
}

fn volume_step(volume: &VolumeReport, goal: &mut Option<u64>) -> Outcome<Step> {
    if matches!(
        volume.state,
        State::Failed | State::Passthrough | State::Stopped
    ) {
        return Err(never(
            &volume.name,
            volume.state,
            volume.last_error.as_deref(),
        ));
    }
    // fixed by the first answer: what comes later is not waited for
    *goal = goal.or(volume.captured_lsn);
    Ok(match (*goal, volume.applied_lsn) {
        (Some(goal), Some(applied)) if applied >= goal => Step::Done { lsn: applied },
        (Some(0), _) => Step::Done { lsn: 0 },
        (goal, at) => Step::Behind {
            at,
            goal,
            trouble: volume.last_error.clone(),
        },
    })
}

/// What the mirror has received by now, on one of those to whom it is passed on.
fn passed_on_step(
    config: &MirrorConfig,
    mirror: &MirrorReport,
    name: &str,
    goal: &mut Option<u64>,
) -> Outcome<Step> {
    let mut all = mirror.targets.iter();
    let Some(target) = all.find(|target| target.name == name) else {
        let names: Vec<&str> = config.targets.iter().map(|it| it.name.as_str()).collect();
        return Err(
            Problem::new(format!("no target of {} is called `{name}`", config.name))
                .at(format!("[mirror.{}]", config.name))
                .hint(format!("it has: {}", names.join(", ")))
                .exit(Exit::NotFound),
        );
    };
    *goal = goal.or(mirror.received_lsn);
    Ok(match (*goal, target.applied_lsn) {
        (Some(goal), Some(applied)) if applied >= goal => Step::Done { lsn: applied },
        (goal, at) => Step::Behind {
            at,
            goal,
            trouble: target.last_error.clone(),
        },
    })
}

fn mirror_step(mirror: &MirrorReport) -> Outcome<Step> {
    if matches!(mirror.state, State::Failed | State::Stopped) {
        return Err(never(
            &mirror.name,
            mirror.state,
            mirror.last_error.as_deref(),
        ));
    }
    let idle = mirror.waiting_bytes == Some(0) && mirror.received_lsn == mirror.applied_lsn;
    Ok(match mirror.applied_lsn {
        Some(lsn) if idle => Step::Done { lsn },
        at => Step::Behind {
            at,
            goal: mirror.received_lsn,
            trouble: mirror.last_error.clone(),
        },
    })
}

fn done(name: &str, lsn: u64, took: Duration, out: &Output) -> Outcome {
    if out.json {
        #[derive(Serialize)]
        struct Done<'a> {
            name: &'a str,
            applied_lsn: u64,
            waited_seconds: f64,
        }
        output::json(&Done {
            name,
            applied_lsn: lsn,
            waited_seconds: took.as_secs_f64(),
        })?;
    } else {
        output::line(format!("{name}: applied up to LSN {lsn}"))?;
    }
    Ok(Exit::Success)
}

fn never(name: &str, state: State, error: Option<&str>) -> Failure {
    let mut problem = Problem::new(format!("{name} is in state `{}`", state.word()));
    problem.causes.extend(error.map(str::to_owned));
    problem
        .hint(match state {
            State::Passthrough => {
                "what changes is not captured at present; `aim sync` waits until all of it is copied"
            }
            _ => "waiting would not end; see `aim status` and the log",
        })
        .exit(Exit::Degraded)
}

fn too_late(name: &str, timeout: Duration, step: &Step) -> Failure {
    let mut problem = Problem::new(format!("not all was applied within {timeout:?}")).at(name);
    if let Step::Behind { at, goal, trouble } = step {
        let shown =
            |lsn: &Option<u64>| lsn.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string());
        problem.causes.push(format!(
            "applied LSN is {}, waited for {}",
            shown(at),
            shown(goal)
        ));
        problem.causes.extend(trouble.clone());
    }
    problem
        .hint("`aim status --watch` shows whether it moves")
        .exit(Exit::Timeout)
}

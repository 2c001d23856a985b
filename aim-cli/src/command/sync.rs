//! `aim sync`: what the mirror lacks is copied, and shown while it is.

use indicatif::ProgressBar;
use serde::Serialize;

use super::watch::Watch;
use crate::args::{Output, SyncArgs};
use crate::config::{self, Size};
use crate::daemon::{BaselineReport, Request, ResyncReport, SyncAsked, VolumeReport};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::output;
use crate::progress;

/// Runs the command.
pub(crate) fn sync(args: &SyncArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let mut watch = Watch::new(&config, &args.name, args.target.as_deref(), args.timeout)?;
    let volume = watch.volume().to_owned();
    let asked: SyncAsked = match args.baseline {
        true => watch.order(&Request::Baseline {
            volume: volume.clone(),
        })?,
        false => ask(&watch, args.all)?,
    };
    if args.no_wait {
        let line = Line::new(&volume, Stage::Asked, asked.requested_bytes);
        match out.json {
            true => output::json(&line)?,
            false => output::line(format!(
                "{volume}: asked for {} to be copied",
                Size(asked.requested_bytes)
            ))?,
        }
        return Ok(Exit::Success);
    }
    if args.baseline {
        read_all(&mut watch, asked.requested_bytes, out)?;
    }
    if !args.all && !asked.is_known && watch.look()?.resync.is_none() {
        return Err(Problem::new("it is not known yet where the mirror differs")
            .at(&volume)
            .hint("the mirror host was not reached since the start; --all compares all of the disk")
            .exit(Exit::Degraded));
    }
    let copied = follow(&mut watch, asked.requested_bytes, out)?;
    if copied.unreadable_bytes > 0 {
        let what = format!("the disk can't read {}", Size(copied.unreadable_bytes));
        return Err(Problem::new(what)
            .at(&volume)
            .hint("the mirror keeps what it has there; all else is copied and applied")
            .exit(Exit::Degraded));
    }
    if out.json {
        let mut line = Line::new(&volume, Stage::Done, asked.requested_bytes);
        line.applied_lsn = Some(copied.lsn);
        output::json(&line)?;
    } else {
        output::line(format!(
            "{volume}: nothing is left to be copied, applied up to LSN {}",
            copied.lsn
        ))?;
    }
    Ok(Exit::Success)
}

/// Asks the daemon to copy what is known to differ, or all.
pub(super) fn ask(watch: &Watch, all: bool) -> Outcome<SyncAsked> {
    let volume = watch.volume().to_owned();
    let target = watch.target();
    watch.order(&Request::Sync {
        volume,
        all,
        target,
    })
}

/// Waits until all of the disk is in the series, and shows how it goes.
fn read_all(watch: &mut Watch, requested: u64, out: &Output) -> Outcome<()> {
    let bar = progress::disk(out);
    bar.set_prefix("reading");
    loop {
        let volume = watch.look()?;
        let Some(baseline) = volume.baseline else {
            bar.finish_and_clear();
            return Ok(());
        };
        bar.set_length(baseline.total_bytes);
        bar.set_position(baseline.covered_bytes.min(baseline.total_bytes));
        let line = Line {
            baseline: Some(baseline),
            ..Line::of(&volume, Stage::Reading, requested)
        };
        watch.tell(out, &line)?;
        watch.pause(|| {
            let (covered, total) = (Size(baseline.covered_bytes), Size(baseline.total_bytes));
            format!("{covered} of {total} are in the series")
        })?;
    }
}

/// Everything that could be copied is on the mirror.
pub(super) struct Copied {
    /// The mirror has applied up to here.
    lsn: u64,
    /// What could not be read.
    unreadable_bytes: u64,
}

/// Waits until everything is copied and applied, and shows how it goes.
pub(super) fn follow(watch: &mut Watch, requested: u64, out: &Output) -> Outcome<Copied> {
    let bar = progress::disk(out);
    let mut goal = None;
    loop {
        let volume = watch.look()?;
        let step = Step::of(&volume, &mut goal);
        step.show(&bar, &volume);
        match step {
            Step::Done(copied) => {
                bar.finish_and_clear();
                return Ok(copied);
            }
            Step::Copying(resync) => {
                watch.tell(out, &Line::copying(&volume, requested, &resync))?;
                watch.pause(|| behind(&volume, &resync))?;
            }
            Step::Applying { goal } => {
                let line = Line {
                    goal_lsn: Some(goal),
                    ..Line::of(&volume, Stage::Applying, requested)
                };
                watch.tell(out, &line)?;
                watch.pause(|| not_applied(&volume, goal))?;
            }
        }
    }
}

/// Where it stands.
enum Step {
    Copying(ResyncReport),
    Applying { goal: u64 },
    Done(Copied),
}

impl Step {
    /// `goal` is what has to be applied, once all is copied.
    fn of(volume: &VolumeReport, goal: &mut Option<u64>) -> Self {
        let resync = volume.resync.unwrap_or_default();
        if volume.resync.is_some() && !resync.is_stuck() {
            *goal = None;
            return Self::Copying(resync);
        }
        // the end of the group is among what was captured by now, or the mirror waits for it
        let goal = *goal.get_or_insert(volume.captured_lsn.unwrap_or_default());
        match volume.applied_lsn {
            Some(lsn) if lsn >= goal => Self::Done(Copied {
                lsn,
                unreadable_bytes: resync.unreadable_bytes,
            }),
            _ => Self::Applying { goal },
        }
    }

    fn show(&self, bar: &ProgressBar, volume: &VolumeReport) {
        let trouble = volume.last_error.clone();
        match self {
            Self::Copying(resync) => {
                bar.set_prefix("copying");
                bar.set_length(resync.total_bytes);
                bar.set_position(resync.copied_bytes.min(resync.total_bytes));
                let said = || format!("{}{}", pace(resync), on_the_line(volume));
                bar.set_message(trouble.unwrap_or_else(said));
            }
            Self::Applying { goal } => {
                bar.set_prefix("copied");
                bar.set_position(bar.length().unwrap_or_default());
                bar.set_message(trouble.unwrap_or_else(|| {
                    let line = on_the_line(volume);
                    format!("waiting until the mirror has applied LSN {goal}{line}")
                }));
            }
            Self::Done(_) => {}
        }
    }
}

fn pace(resync: &ResyncReport) -> String {
    match (resync.rate_bytes_per_second, resync.seconds_left) {
        (Some(rate), Some(left)) => format!("{}/s, {left:.0} s left", Size(rate)),
        _ => "waiting for the mirror host to say what it holds".to_owned(),
    }
}

/// What waits to be shipped and received.
fn on_the_line(volume: &VolumeReport) -> String {
    let (files, bytes) = (volume.waiting_files, volume.waiting_bytes);
    let (Some(files @ 1..), Some(bytes)) = (files, bytes) else {
        return String::new();
    };
    let rate = Size(volume.rate_bytes_per_second.unwrap_or(0));
    let left = volume.seconds_left;
    let left = left.map_or_else(String::new, |left| format!(", {left:.0} s left"));
    format!(
        "; to be shipped: {files} files, {}, {rate}/s{left}",
        Size(bytes)
    )
}

fn behind(volume: &VolumeReport, resync: &ResyncReport) -> String {
    let left = Size(resync.needed_bytes);
    match &volume.last_error {
        Some(error) => format!("{left} are still to be copied: {error}"),
        None => format!("{left} are still to be copied"),
    }
}

/// What is missing where the mirror has not applied the LSN `goal`.
pub(super) fn not_applied(volume: &VolumeReport, goal: u64) -> String {
    let at = volume.applied_lsn;
    let at = at.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string());
    let error = volume.last_error.as_ref();
    let error = error.map_or_else(String::new, |error| format!(": {error}"));
    format!("applied LSN is {at}, waited for {goal}{error}")
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Asked,
    Reading,
    Copying,
    Applying,
    Done,
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    state: Stage,
    /// What this command has asked for.
    requested_bytes: u64,
    #[serde(flatten)]
    resync: Option<ResyncReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<BaselineReport>,
    /// What waits to be shipped and received, of that and of all else.
    line: Option<OnTheLine>,
    goal_lsn: Option<u64>,
    applied_lsn: Option<u64>,
    last_error: Option<&'a str>,
}

/// How shipping is going.
#[derive(Clone, Copy, Debug, Serialize)]
struct OnTheLine {
    waiting_files: Option<u64>,
    waiting_bytes: Option<u64>,
    rate_bytes_per_second: Option<u64>,
    seconds_left: Option<f64>,
}

impl OnTheLine {
    fn of(volume: &VolumeReport) -> Self {
        Self {
            waiting_files: volume.waiting_files,
            waiting_bytes: volume.waiting_bytes,
            rate_bytes_per_second: volume.rate_bytes_per_second,
            seconds_left: volume.seconds_left,
        }
    }
}

impl<'a> Line<'a> {
    fn new(name: &'a str, state: Stage, requested_bytes: u64) -> Self {
        Self {
            name,
            state,
            requested_bytes,
            resync: None,
            baseline: None,
            line: None,
            goal_lsn: None,
            applied_lsn: None,
            last_error: None,
        }
    }

    fn of(volume: &'a VolumeReport, state: Stage, requested_bytes: u64) -> Self {
        Self {
            line: Some(OnTheLine::of(volume)),
            applied_lsn: volume.applied_lsn,
            last_error: volume.last_error.as_deref(),
            ..Self::new(&volume.name, state, requested_bytes)
        }
    }

    fn copying(volume: &'a VolumeReport, requested_bytes: u64, resync: &ResyncReport) -> Self {
        Self {
            resync: Some(*resync),
            ..Self::of(volume, Stage::Copying, requested_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(captured: u64, applied: u64, resync: Option<(u64, u64)>) -> VolumeReport {
        VolumeReport {
            captured_lsn: Some(captured),
            applied_lsn: Some(applied),
            resync: resync.map(|(needed_bytes, unreadable_bytes)| ResyncReport {
                needed_bytes,
                unreadable_bytes,
                ..ResyncReport::default()
            }),
            ..VolumeReport::default()
        }
    }

    #[test]
    fn it_is_done_when_all_is_copied_and_what_was_captured_by_then_is_applied() {
        let mut goal = None;
        let mut step = |volume: &VolumeReport| match Step::of(volume, &mut goal) {
            Step::Copying(_) => "copying".to_owned(),
            Step::Applying { goal } => format!("applying {goal}"),
            Step::Done(copied) => format!("done {} {}", copied.lsn, copied.unreadable_bytes),
        };
        assert_eq!(step(&volume(10, 4, Some((4096, 0)))), "copying");
        assert_eq!(step(&volume(20, 4, Some((0, 0)))), "copying", "no end yet");
        assert_eq!(step(&volume(21, 4, None)), "applying 21");
        assert_eq!(
            step(&volume(30, 4, None)),
            "applying 21",
            "not what follows"
        );
        assert_eq!(step(&volume(40, 4, Some((512, 0)))), "copying", "again");
        assert_eq!(step(&volume(50, 40, Some((4096, 4096)))), "applying 50");
        assert_eq!(step(&volume(60, 50, Some((4096, 4096)))), "done 50 4096");
    }

    #[test]
    fn what_waits_is_told_to_people_and_to_programs() {
        let volume = VolumeReport {
            waiting_files: Some(3),
            waiting_bytes: Some(48 << 20),
            rate_bytes_per_second: Some(8 << 20),
            seconds_left: Some(6.0),
            ..volume(10, 4, Some((4096, 0)))
        };
        assert_eq!(
            on_the_line(&volume),
            "; to be shipped: 3 files, 48 MiB, 8 MiB/s, 6 s left"
        );
        let resync = volume.resync.unwrap();
        let line = serde_json::to_value(Line::copying(&volume, 0, &resync)).unwrap();
        assert_eq!(line["line"]["waiting_files"], 3);
        assert_eq!(line["line"]["seconds_left"], 6.0);
        assert_eq!(on_the_line(&VolumeReport::default()), "");
    }
}

//! `aim verify`: whether the mirror holds what the source holds, at one place of the order for
//! each range.

use serde::Serialize;

use super::sync::{ask, follow, not_applied};
use super::watch::Watch;
use crate::args::{Output, VerifyArgs};
use crate::config::{self, Size};
use crate::daemon::{Different, Range, Request, State, VerifyAsked, VerifyReport, VolumeReport};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;
use crate::progress;

/// Ranges that are shown to people; with `--json` it is all of them.
const SHOWN_MAX: usize = 32;

/// Runs the command.
pub(crate) fn verify(args: &VerifyArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let mut watch = Watch::new(&config, &args.name, args.target.as_deref(), args.timeout)?;
    let volume = watch.volume().to_owned();
    let asked: VerifyAsked = watch.order(&Request::Verify {
        volume: volume.clone(),
        target: watch.target(),
    })?;
    if args.no_wait {
        match out.json {
            true => output::json(&Line::new(&volume, Stage::Asked))?,
            false => output::line(format!("{volume}: asked for a verification"))?,
        }
        return Ok(Exit::Success);
    }
    let mut found = compared(&mut watch, asked, out)?;
    if found.is_known && args.repair && !found.different.ranges.is_empty() {
        let mended = found.different.bytes();
        let requested = ask(&watch, false)?.requested_bytes;
        follow(&mut watch, requested, out)?;
        found.different = different(&watch)?;
        found.mended_bytes = mended.saturating_sub(found.different.bytes());
    }
    found.print(&volume, out)?;
    Ok(found.exit())
}

/// What a verification has come to.
#[derive(Debug)]
struct Found {
    /// Whether the mirror host could be asked.
    is_known: bool,
    different: Different,
    /// Found different, and mended since.
    mended_bytes: u64,
    /// Compared by the mirror.
    compared_bytes: u64,
    /// Not digested, or not compared.
    left_out_bytes: u64,
}

/// Waits until the mirror has compared all of a pass.
fn compared(watch: &mut Watch, asked: VerifyAsked, out: &Output) -> Outcome<Found> {
    let bar = progress::disk(out);
    let mut end = None;
    loop {
        let volume = watch.look()?;
        let verify = volume.verify.unwrap_or_default();
        if end.is_none() && verify.passes >= asked.pass {
            end = Some(verify);
        }
        let (stage, reason) = match end {
            Some(end) if volume.applied_lsn.is_some_and(|lsn| lsn >= end.last_lsn) => {
                bar.finish_and_clear();
                return result(watch, asked, &end);
            }
            Some(end) => (Stage::Applying, not_applied(&volume, end.last_lsn)),
            None => (Stage::Verifying, obstacle(&volume, &verify)),
        };
        bar.set_prefix(stage.word());
        bar.set_length(verify.total_bytes);
        bar.set_position(verify.covered_bytes);
        bar.set_message(reason.clone());
        let line = Line {
            covered_bytes: Some(verify.covered_bytes),
            total_bytes: Some(verify.total_bytes),
            last_error: volume.last_error.as_deref(),
            ..Line::new(&volume.name, stage)
        };
        watch.tell(out, &line)?;
        watch.pause(|| reason)?;
    }
}

/// What a pass waits for.
fn obstacle(volume: &VolumeReport, verify: &VerifyReport) -> String {
    match (volume.state, volume.resync) {
        (State::Passthrough, _) => "waiting until transactions are captured again".to_owned(),
        (_, Some(resync)) if !resync.is_stuck() => {
            let needed = Size(resync.needed_bytes);
            format!("waiting until {needed} are copied: the mirror can't compare before")
        }
        _ => format!("{} are read", Size(verify.covered_bytes)),
    }
}

/// The mirror has applied all digests: so it knows what differs.
fn result(watch: &Watch, asked: VerifyAsked, end: &VerifyReport) -> Outcome<Found> {
    let different = different(watch)?;
    let uncompared = different
        .uncompared_bytes
        .saturating_sub(asked.uncompared_bytes);
    let left_out = end.skipped_bytes.saturating_add(uncompared);
    Ok(Found {
        is_known: different.is_known,
        different,
        mended_bytes: 0,
        compared_bytes: end.total_bytes.saturating_sub(left_out),
        left_out_bytes: left_out,
    })
}

fn different(watch: &Watch) -> Outcome<Different> {
    let volume = watch.volume().to_owned();
    let target = watch.target();
    watch.order(&Request::Differences { volume, target })
}

impl Found {
    fn exit(&self) -> Exit {
        if !self.different.ranges.is_empty() {
            Exit::Mismatch
        } else if !self.is_known || self.left_out_bytes > 0 {
            Exit::Degraded
        } else {
            Exit::Success
        }
    }

    fn print(&self, volume: &str, out: &Output) -> Outcome<()> {
        if out.json {
            return output::json(&Line {
                differences: self.is_known.then_some(&self.different.ranges),
                different_bytes: self.is_known.then(|| self.different.bytes()),
                mended_bytes: Some(self.mended_bytes),
                compared_bytes: Some(self.compared_bytes),
                left_out_bytes: Some(self.left_out_bytes),
                ..Line::new(volume, Stage::Done)
            });
        }
        output::line(format!("{volume}: {} compared", Size(self.compared_bytes)))?;
        if self.left_out_bytes > 0 {
            output::line(format!(
                "  {} not compared: they can't be read, or the mirror host was interrupted; verify again",
                Size(self.left_out_bytes)
            ))?;
        }
        if self.mended_bytes > 0 {
            output::line(format!(
                "  {} differed, and are mended",
                Size(self.mended_bytes)
            ))?;
        }
        let ranges = &self.different.ranges;
        match (self.is_known, ranges.len()) {
            (false, _) => output::line("  what the mirror found can't be read: see the log")?,
            (true, 0) => output::line("  the mirror holds the same")?,
            (true, count) => output::line(format!(
                "  the mirror differs in {count} ranges, {}; `aim sync {volume}` mends them:",
                Size(self.different.bytes())
            ))?,
        }
        for range in ranges.iter().take(SHOWN_MAX) {
            output::line(format!(
                "    byte {} to {}, {}, on {}",
                range.offset,
                range.offset + range.bytes - 1,
                Size(range.bytes),
                range.target
            ))?;
        }
        if let Some(more) = ranges.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            output::line(format!("    and {more} more; --json lists all"))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Asked,
    Verifying,
    Applying,
    Done,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Verifying => "verifying",
            Self::Applying => "verified",
            Self::Done => "done",
        }
    }
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    state: Stage,
    covered_bytes: Option<u64>,
    total_bytes: Option<u64>,
    compared_bytes: Option<u64>,
    left_out_bytes: Option<u64>,
    mended_bytes: Option<u64>,
    different_bytes: Option<u64>,
    differences: Option<&'a [Range]>,
    last_error: Option<&'a str>,
}

impl<'a> Line<'a> {
    const fn new(name: &'a str, state: Stage) -> Self {
        Self {
            name,
            state,
            covered_bytes: None,
            total_bytes: None,
            compared_bytes: None,
            left_out_bytes: None,
            mended_bytes: None,
            different_bytes: None,
            differences: None,
            last_error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_tells_what_was_found() {
        let mut found = Found {
            is_known: true,
            different: Different::default(),
            mended_bytes: 4096,
            compared_bytes: 1 << 20,
            left_out_bytes: 0,
        };
        assert_eq!(found.exit(), Exit::Success);
        found.left_out_bytes = 1;
        assert_eq!(found.exit(), Exit::Degraded);
        found.different.ranges.push(Range {
            target: "target".to_owned(),
            device: 0,
            offset: 0,
            bytes: 512,
        });
        assert_eq!(found.exit(), Exit::Mismatch);
    }
}

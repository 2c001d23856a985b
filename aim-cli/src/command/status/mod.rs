//! `aim status`: how far each volume and mirror is.

mod files;
mod io;
mod text;

use std::io::IsTerminal;
use std::time::Duration;

use crate::args::{Output, StatusArgs};
use crate::config::{self, Config, Entry};
use crate::daemon::{Report, ask};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

const INTERVAL: Duration = Duration::from_secs(1);
/// Cursor to the upper left corner, and what is below it cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs the command.
pub(crate) fn status(args: &StatusArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let clear = args.watch && !out.json && std::io::stdout().is_terminal();
    loop {
        let report = look(&config, args.name.as_deref())?;
        if out.json {
            output::json(&report)?;
        } else {
            let shown = text::render(&report);
            let start = if clear { CLEAR } else { "" };
            output::line(format!("{start}{}", shown.trim_end()))?;
        }
        if !args.watch {
            return Ok(match report.is_well() {
                true => Exit::Success,
                false => Exit::Degraded,
            });
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Asks the daemon, or the files where there is none; `name` alone if it is given.
fn look(config: &Config, name: Option<&str>) -> Outcome<Report> {
    let entry = name.map(|name| config.entry(name)).transpose()?;
    let mut report = match ask(&config.socket())? {
        Some(report) => report,
        None => files::report(config),
    };
    match entry {
        Some(Entry::Volume(volume)) => {
            report.mirrors.clear();
            report.volumes.retain(|report| report.name == volume.name);
        }
        Some(Entry::Mirror(mirror)) => {
            report.volumes.clear();
            report.mirrors.retain(|report| report.name == mirror.name);
        }
        None => {}
    }
    Ok(report)
}

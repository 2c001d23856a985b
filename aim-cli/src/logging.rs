//! Logs: to stderr, as text or JSON.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` has the syntax of `RUST_LOG`: `info`, `warn,aim_remote=debug`.
pub(crate) fn start(format: LogFormat, filter: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Problem::new(format!("log level `{filter}` can't be understood"))
            .because(&error)
            .hint("use error, warn, info, debug or trace, or a filter like `info,aim_remote=debug`")
            .exit(Exit::Usage)
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The filter to use: command line before environment before `fallback`.
pub(crate) fn filter(given: Option<&str>, fallback: &str) -> String {
    given.map(str::to_owned).unwrap_or_else(|| {
        std::env::var("AIM_LOG")
            .ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| fallback.to_owned())
    })
}

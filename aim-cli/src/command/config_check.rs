//! `aim config check`: names everything that is wrong with a configuration.

use std::path::Path;

use serde::Serialize;

use crate::args::{ConfigArgs, Output};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::host::{self, DiskGraph, MountTable};
use crate::output;

/// Runs the command.
pub(crate) fn config_check(args: &ConfigArgs, out: &Output) -> Outcome {
    let Checked { config, warnings } = checked(&args.config)?;
    if out.json {
        #[derive(Serialize)]
        struct Said<'a> {
            ok: bool,
            volumes: Vec<&'a str>,
            mirrors: Vec<&'a str>,
            warnings: Vec<Problem>,
        }
        output::json(&Said {
            ok: true,
            volumes: config.volumes.keys().map(String::as_str).collect(),
            mirrors: config.mirrors.keys().map(String::as_str).collect(),
            warnings,
        })?;
    } else {
        let (volumes, mirrors) = (config.volumes.len(), config.mirrors.len());
        let path = config.path.display();
        output::line(format!(
            "{path}: ok, volumes: {volumes}, mirrors: {mirrors}"
        ))?;
        for warning in warnings {
            output::line(warning.as_warning().to_string())?;
        }
    }
    Ok(Exit::Success)
}

/// A configuration that may be run.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What it says.
    pub(crate) config: Config,
    /// What is allowed, and not good.
    warnings: Vec<Problem>,
}

impl Checked {
    /// The configuration, after its warnings went to the log.
    pub(crate) fn warned(self) -> Config {
        for Problem {
            what, place, hint, ..
        } in &self.warnings
        {
            tracing::warn!(at = place, hint, "{what}");
        }
        self.config
    }
}

/// Loads a configuration and checks it against this host: what `aim run` refuses too.
pub(crate) fn checked(path: &Path) -> Outcome<Checked> {
    let config = config::load(path)?;
    let mounts = MountTable::read()
        .map_err(|error| Problem::new("can't read what is mounted").io(&error))?;
    let graph = DiskGraph::of_host(mounts);
    let problems = host::check_placement(&config, &graph);
    if problems.is_empty() {
        let warnings = host::placement_warnings(&config, &graph);
        return Ok(Checked { config, warnings });
    }
    Err(Failure {
        exit: Exit::Usage,
        problems,
    })
}

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
    let config = checked(&args.config)?;
    if out.json {
        #[derive(Serialize)]
        struct Checked<'a> {
            ok: bool,
            volumes: Vec<&'a str>,
            mirrors: Vec<&'a str>,
        }
        output::json(&Checked {
            ok: true,
            volumes: config.volumes.keys().map(String::as_str).collect(),
            mirrors: config.mirrors.keys().map(String::as_str).collect(),
        })?;
    } else {
        let (volumes, mirrors) = (config.volumes.len(), config.mirrors.len());
        let path = config.path.display();
        output::line(format!(
            "{path}: ok, volumes: {volumes}, mirrors: {mirrors}"
        ))?;
    }
    Ok(Exit::Success)
}

/// Loads a configuration and checks it against this host: what `aim run` refuses too.
pub(crate) fn checked(path: &Path) -> Outcome<Config> {
    let config = config::load(path)?;
    let mounts = MountTable::read()
        .map_err(|error| Problem::new("can't read what is mounted").io(&error))?;
    let problems = host::check_placement(&config, &DiskGraph::of_host(mounts));
    if problems.is_empty() {
        return Ok(config);
    }
    Err(Failure {
        exit: Exit::Usage,
        problems,
    })
}

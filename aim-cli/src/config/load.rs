//! From a file to a configuration, or to everything that is wrong with it.

use std::path::Path;

use super::typed::Config;
use super::{parse, resolve};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// Read when `--config` is not given.
pub(crate) const DEFAULT_PATH: &str = "/etc/aim/aim.toml";

/// Reads and understands a configuration, without looking at the devices that it names.
///
/// # Errors
///
/// All mistakes at once, each with its table and line.
pub(crate) fn load(path: &Path) -> Outcome<Config> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Problem::new("can't read the configuration")
            .at(path.display())
            .hint("name the file with --config FILE; docs/operations.md has an example")
            .io(&error)
    })?;
    let (tables, problems) = parse::parse(path, &text);
    // a misspelt key is also a missing one: to name both would mislead
    refuse(problems)?;
    let (config, problems) = resolve::resolve(path, tables);
    refuse(problems)?;
    Ok(config)
}

fn refuse(problems: Vec<Problem>) -> Outcome<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure {
        exit: Exit::Usage,
        problems,
    })
}

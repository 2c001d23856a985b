//! What must not be the same, nor lie inside of each other: devices and folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::typed::Config;
use crate::failure::Problem;

/// Names devices and folders of `config` that serve two purposes.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = used_twice(config);
    problems.extend(beside_the_state(config));
    for problem in &mut problems {
        problem.place = Some(config.path.display().to_string());
    }
    problems
}

/// No device, journal or mirror directory serves two tables: they would overwrite each other.
fn used_twice(config: &Config) -> Vec<Problem> {
    let mut owners: BTreeMap<PathBuf, String> = BTreeMap::new();
    let volumes = config.volumes.values().flat_map(|volume| {
        let table = format!("[volume.{}]", volume.name);
        [(&volume.device, table.clone()), (&volume.journal, table)]
    });
    let mirrors = config.mirrors.values().flat_map(|mirror| {
        let table = format!("[mirror.{}]", mirror.name);
        [(&mirror.device, table.clone()), (&mirror.directory, table)]
    });
    let mut problems = Vec::new();
    for (path, table) in volumes.chain(mirrors) {
        if path.as_os_str().is_empty() {
            continue;
        }
        if let Some(first) = owners.insert(real(path), table.clone()) {
            let what = format!("{} is used by {first} and {table}", path.display());
            problems.push(Problem::new(what).hint("give each its own device and directory"));
        }
    }
    problems
}

/// The extent maps are there for the day on which a journal is lost: neither lies in the other.
fn beside_the_state(config: &Config) -> Vec<Problem> {
    let state = real(&config.state_dir);
    let inside = config.volumes.values().filter(|volume| {
        let journal = real(&volume.journal);
        volume.journal.is_absolute() && (journal.starts_with(&state) || state.starts_with(journal))
    });
    let refused = inside.map(|volume| {
        Problem::new(format!(
            "`journal` {} of [volume.{}] and `state_dir` {} lie in each other",
            volume.journal.display(),
            volume.name,
            config.state_dir.display()
        ))
        .hint("give each a directory of its own, if possible on different file systems")
    });
    refused.collect()
}

/// The path with all links resolved, as far as it exists.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let Ok(real) = std::fs::canonicalize(above) {
            let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
            return match rest.as_os_str().is_empty() {
                true => real,
                false => real.join(rest),
            };
        }
    }
    path.to_owned()
}

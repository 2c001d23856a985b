//! `aim doctor`: what is well, what is not, and what helps.

use serde::Serialize;

use crate::args::{DoctorArgs, Output};
use crate::config::{self, Config, Entry};
use crate::doctor::{self, Finding, Section, Verdict};
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};
use crate::host::{DiskGraph, MountTable};
use crate::output;

/// Runs the command.
pub(crate) fn doctor(args: &DoctorArgs, out: &Output) -> Outcome {
    let config = config::load(&args.config.config)?;
    let entry = args.name.as_deref().map(|name| config.entry(name));
    let entry = entry.transpose()?;
    let mounts = MountTable::read()
        .map_err(|error| Problem::new("can't read what is mounted").io(&error))?;
    let graph = DiskGraph::of_host(mounts);
    let mut all: Vec<Finding> = Vec::new();
    for examine in examinations(&config, entry) {
        let section = examine(&graph);
        if !out.json {
            // one after the other: a line that is slow, or down, takes its time
            output::line(&section.about)?;
            for finding in &section.findings {
                output::line(finding.render())?;
            }
        }
        all.extend(section.findings);
    }
    let worst = all.iter().map(|finding| finding.verdict).max();
    let worst = worst.unwrap_or(Verdict::Ok);
    if out.json {
        #[derive(Serialize)]
        struct Said<'a> {
            verdict: Verdict,
            findings: &'a [Finding],
        }
        output::json(&Said {
            verdict: worst,
            findings: &all,
        })?;
    }
    Ok(match worst {
        Verdict::Ok => Exit::Success,
        Verdict::Warning => Exit::Degraded,
        Verdict::Problem => Exit::Failed,
    })
}

type Examination<'a> = Box<dyn FnOnce(&DiskGraph) -> Section + 'a>;

/// The host, and all that it has, or the one that was named.
fn examinations<'a>(config: &'a Config, entry: Option<Entry<'a>>) -> Vec<Examination<'a>> {
    let mut all: Vec<Examination<'a>> = vec![Box::new(|graph| doctor::examine_host(config, graph))];
    let entries: Vec<Entry<'a>> = match entry {
        Some(entry) => vec![entry],
        None => (config.volumes.values().map(Entry::Volume))
            .chain(config.mirrors.values().map(Entry::Mirror))
            .collect(),
    };
    for entry in entries {
        let volume = match entry {
            Entry::Volume(volume) => volume,
            Entry::Mirror(mirror) => {
                all.push(Box::new(move |graph| doctor::examine_mirror(mirror, graph)));
                all.extend(mirror.targets.iter().map(|target| -> Examination<'a> {
                    Box::new(move |graph| doctor::examine_mirror_target(mirror, target, graph))
                }));
                continue;
            }
        };
        all.push(Box::new(move |graph| doctor::examine_volume(volume, graph)));
        if volume.targets.len() > 1 {
            all.extend(volume.targets.iter().map(|target| -> Examination<'a> {
                Box::new(move |graph| doctor::examine_target(volume, target, graph))
            }));
        }
    }
    all
}

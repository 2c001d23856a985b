//! A mirror: its disk and its directory.

use aim_core::fs::HostDirectory;
use aim_core::identity::{MirrorIdentity, VolumeIdentity};

use super::disk;
use super::finding::Section;
use super::host::look;
use super::target::{self, Way};
use crate::config::{MirrorConfig, TargetConfig};
use crate::host::DiskGraph;
use crate::state;

/// Room for a few files of any size that the source may choose.
const ROOM: (u64, u64) = (64 << 20, 1 << 30);

/// Looks at a mirror.
pub(crate) fn examine(config: &MirrorConfig, graph: &DiskGraph) -> Section {
    let mut section = Section::new(format!("mirror.{}", config.name));
    disk::examine(&mut section, &config.device);
    directory(&mut section, config, graph);
    section
}

/// Looks at one of those from here to whom a mirror passes on what it receives.
pub(crate) fn examine_target(
    mirror: &MirrorConfig,
    target: &TargetConfig,
    graph: &DiskGraph,
) -> Section {
    let about = format!("mirror.{}.targets.{}", mirror.name, target.name);
    let mut section = Section::new(about);
    // what is wrong with it is said of the mirror
    let folder = HostDirectory::open(&mirror.directory).ok();
    let identity = folder.and_then(|folder| state::load::<VolumeIdentity>(&*folder).ok());
    let way = Way::of_mirror(mirror, target);
    target::examine(&mut section, way, graph, identity.flatten().as_ref());
    section
}

fn directory(section: &mut Section, config: &MirrorConfig, graph: &DiskGraph) {
    let check = "directory";
    let Some(folder) = look(section, check, &config.directory) else {
        return;
    };
    if !folder.exists {
        section.problem(
            check,
            format!("{} is not there", config.directory.display()),
            "make it, owned by the account that the source logs in as",
        );
        return;
    }
    folder.judge_durable(section, check);
    folder.judge_room(section, check, ROOM, "what arrives");
    if disk::shares(graph, &config.directory, &config.device) {
        section.warn(
            check,
            "it is on the same disk as the mirror: each change is written twice there",
            "put it on another disk, if there is one",
        );
    }
    identity(section, config);
}

fn identity(section: &mut Section, config: &MirrorConfig) {
    let check = "identity";
    let loaded = HostDirectory::open(&config.directory)
        .map_err(|error| error.to_string())
        .map(|folder| state::load::<MirrorIdentity>(&*folder));
    match loaded {
        Ok(Ok(Some(identity))) => {
            section.ok(check, format!("paired with volume {}", identity.volume));
        }
        Ok(Ok(None)) => {
            let remedy = format!("on the source, and then here: `aim init {}`", config.name);
            section.warn(check, "not initialized yet", remedy);
        }
        Ok(Err(failure)) => section.failed(check, failure),
        Err(error) => {
            let what = format!("the directory can't be opened: {error}");
            section.problem(check, what, "run as root");
        }
    }
}

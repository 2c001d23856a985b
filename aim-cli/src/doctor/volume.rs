//! A volume: its disk, its journal, its targets.

use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;

use super::disk;
use super::finding::Section;
use super::folder::{FILES_ENOUGH, FILES_LEAST};
use super::host::look;
use super::target::{self, Way};
use crate::config::{TargetConfig, VolumeConfig};
use crate::failure::Outcome;
use crate::host::DiskGraph;
use crate::state;

/// Each FLUSH of the disk's users waits so long, or longer.
const SYNC_SLOW_MS: u128 = 50;

/// Looks at a volume, and, if it has only one, at its target from here.
pub(crate) fn examine(config: &VolumeConfig, graph: &DiskGraph) -> Section {
    let mut section = Section::new(format!("volume.{}", config.name));
    disk::examine(&mut section, &config.device);
    let identity = journal(&mut section, config, graph);
    if let [target] = &config.targets[..] {
        let way = Way::of_volume(config, target);
        target::examine(&mut section, way, graph, identity.as_ref());
    }
    section
}

/// Looks at one of several targets of a volume from here.
pub(crate) fn examine_target(
    volume: &VolumeConfig,
    target: &TargetConfig,
    graph: &DiskGraph,
) -> Section {
    let about = format!("volume.{}.targets.{}", volume.name, target.name);
    let mut section = Section::new(about);
    // what is wrong with it is said of the volume
    let identity = load(volume).and_then(|loaded| loaded.ok().flatten());
    let way = Way::of_volume(volume, target);
    target::examine(&mut section, way, graph, identity.as_ref());
    section
}

/// The volume's identity, if it has one.
fn journal(
    section: &mut Section,
    config: &VolumeConfig,
    graph: &DiskGraph,
) -> Option<VolumeIdentity> {
    let check = "journal";
    let folder = look(section, check, &config.journal)?;
    folder.judge_durable(section, check);
    let files = |count: u64| count * config.seal_bytes;
    let enough = config.journal_bytes.unwrap_or(0).max(files(FILES_ENOUGH));
    let room = (files(FILES_LEAST), enough);
    folder.judge_room(section, check, room, "the journal");
    if disk::shares(graph, &config.journal, &config.device) {
        section.warn(
            check,
            "the journal is on the same disk as what is mirrored: each write goes there twice, and \
             both fail together",
            "put it on another disk",
        );
    }
    if folder.exists
        && let Some(time) = folder.sync_time()
    {
        let shown = format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let finding = match time.as_millis() > SYNC_SLOW_MS {
            true => section.warn(
                check,
                format!("a sync takes {shown}, and each FLUSH waits for one"),
                "put the journal on a faster disk, or one with a cache that survives a power cut",
            ),
            false => section.ok(check, format!("a sync takes {shown}")),
        };
        finding.figure("sync_seconds", time.as_secs_f64());
    }
    identity(section, config)
}

fn identity(section: &mut Section, config: &VolumeConfig) -> Option<VolumeIdentity> {
    let check = "identity";
    match load(config) {
        Some(Ok(Some(identity))) => {
            section.ok(check, format!("volume {}", identity.id));
            Some(identity)
        }
        Some(Err(failure)) => {
            section.failed(check, failure);
            None
        }
        Some(Ok(None)) | None => {
            let remedy = format!("`aim init {}`", config.name);
            section.warn(check, "not initialized yet", remedy);
            None
        }
    }
}

/// `None` if there is no journal folder.
fn load(config: &VolumeConfig) -> Option<Outcome<Option<VolumeIdentity>>> {
    let folder = HostDirectory::open(&config.journal).ok()?;
    Some(state::load(&*folder))
}

//! A volume: its disk, its journal, its targets.

use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;

use super::finding::Section;
use super::host::look;
use super::target::{self, Way};
use crate::config::{TargetConfig, VolumeConfig};
use crate::disk;
use crate::failure::Outcome;
use crate::host::{DiskGraph, Store};
use crate::state;

/// Sealed files for which there must be room, and for which there should be.
const FILES_LEAST: u64 = 4;
const FILES_ENOUGH: u64 = 32;
/// Each FLUSH of the disk's users waits so long, or longer.
const SYNC_SLOW_MS: u128 = 50;

/// Looks at a volume, and, if it has only one, at its target from here.
pub(crate) fn examine(config: &VolumeConfig, graph: &DiskGraph) -> Section {
    let mut section = Section::new(format!("volume.{}", config.name));
    device(&mut section, config);
    let identity = journal(&mut section, config, graph);
    if let [target] = &config.targets[..] {
        let way = Way {
            volume: config,
            target,
        };
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
    let way = Way { volume, target };
    target::examine(&mut section, way, graph, identity.as_ref());
    section
}

fn device(section: &mut Section, config: &VolumeConfig) {
    match disk::open_read_only(&config.device) {
        Ok(device) => {
            use aim_core::device::BlockDevice;
            let size = device.size().get();
            let shown = config.device.display();
            let finding = section.ok("disk", format!("{shown} has {size} bytes"));
            finding.figure("size_bytes", size);
        }
        Err(failure) => section.failed("disk", failure),
    }
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
    if shares_disk(graph, &config.journal, &config.device) {
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

/// Whether a folder and a disk are stored on one block device, at any level.
pub(super) fn shares_disk(
    graph: &DiskGraph,
    folder: &std::path::Path,
    disk: &std::path::Path,
) -> bool {
    let there = folder.ancestors().find(|path| path.exists());
    let Some(there) = there else { return false };
    let devices = |path| {
        graph
            .beneath(path)
            .into_iter()
            .filter(|store| matches!(store, Store::Device(_)))
            .collect::<std::collections::BTreeSet<_>>()
    };
    !devices(there).is_disjoint(&devices(disk))
}

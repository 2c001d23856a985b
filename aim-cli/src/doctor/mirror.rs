//! A mirror: its disk and its directory.

use aim_core::device::BlockDevice;
use aim_core::fs::HostDirectory;
use aim_core::identity::MirrorIdentity;

use super::finding::Section;
use super::host::look;
use super::volume::shares_disk;
use crate::config::MirrorConfig;
use crate::disk;
use crate::host::DiskGraph;
use crate::state;

/// Room for a few files of any size that the source may choose.
const ROOM: (u64, u64) = (64 << 20, 1 << 30);

/// Looks at a mirror.
pub(crate) fn examine(config: &MirrorConfig, graph: &DiskGraph) -> Section {
    let mut section = Section::new(format!("mirror.{}", config.name));
    match disk::open_read_only(&config.device) {
        Ok(device) => {
            let size = device.size().get();
            let shown = config.device.display();
            let finding = section.ok("disk", format!("{shown} has {size} bytes"));
            finding.figure("size_bytes", size);
        }
        Err(failure) => section.failed("disk", failure),
    }
    directory(&mut section, config, graph);
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
    if shares_disk(graph, &config.directory, &config.device) {
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

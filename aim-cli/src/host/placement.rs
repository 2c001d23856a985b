//! Refuses folders that lie on the disk that they serve, and disks that lie on each other.
//!
//! A journal on the mirrored disk captures its own writes without end, and waits for itself as
//! soon as memory is short. A mirror's directory on the mirror device is overwritten by replay.

use std::path::{Path, PathBuf};

use super::graph::{DiskGraph, store_of};
use crate::config::{Config, Target};
use crate::failure::Problem;

/// Names everything in `config` that is placed where it must not be. Paths that do not exist
/// (yet) are judged by the nearest folder above them that does.
pub(crate) fn check(config: &Config, graph: &DiskGraph) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut disks: Vec<(String, &Path)> = Vec::new();
    for volume in config.volumes.values() {
        let table = format!("[volume.{}]", volume.name);
        let exported = PathBuf::from("/dev/aim").join(&volume.name);
        let mut folders = vec![
            ("journal", volume.journal.as_path()),
            ("state_dir", &config.state_dir),
        ];
        for target in &volume.targets {
            if let Target::Directory(path) = &target.target {
                folders.push(("target", path));
            }
        }
        for (key, folder) in folders {
            for disk in [&volume.device, &exported] {
                problems.extend(on_its_disk(graph, &table, key, folder, disk));
            }
        }
        disks.push((table, &volume.device));
    }
    for mirror in config.mirrors.values() {
        let table = format!("[mirror.{}]", mirror.name);
        let folder = &mirror.directory;
        problems.extend(on_its_disk(
            graph,
            &table,
            "directory",
            folder,
            &mirror.device,
        ));
        disks.push((table, &mirror.device));
    }
    problems.extend(on_each_other(graph, &disks));
    problems
}

/// Names what is allowed, and gives something away: a journal and extent maps on one file system
/// fail together, and then it is not known any more what has to be copied.
pub(crate) fn warnings(config: &Config, graph: &DiskGraph) -> Vec<Problem> {
    let state = existing(&config.state_dir).and_then(|path| graph.mounts().under(path));
    let beside = config.volumes.values().filter(|volume| {
        let journal = existing(&volume.journal).and_then(|path| graph.mounts().under(path));
        state.is_some() && journal == state
    });
    let warned = beside.map(|volume| {
        Problem::new(format!(
            "`journal` {} and `state_dir` {} are on one file system",
            volume.journal.display(),
            config.state_dir.display()
        ))
        .at(format!("[volume.{}]", volume.name))
        .hint("where it fails, all of the disk has to be copied after the next power cut; put `state_dir` elsewhere")
    });
    warned.collect()
}

/// The path, or the nearest folder above it that exists.
pub(crate) fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.exists())
}

fn on_its_disk(
    graph: &DiskGraph,
    table: &str,
    key: &str,
    folder: &Path,
    disk: &Path,
) -> Option<Problem> {
    let disk_store = store_of(disk)?;
    let under = graph.beneath(existing(folder)?);
    under.contains(&disk_store).then(|| {
        Problem::new(format!(
            "`{key}` {} lies on the mirrored disk {}",
            folder.display(),
            disk.display()
        ))
        .at(table)
        .hint("put it on another disk: what is written there would be captured again, for ever")
    })
}

/// A disk and its own partition, a RAID and its member, or an image file and the disk that it is
/// stored on must not both be named.
fn on_each_other(graph: &DiskGraph, disks: &[(String, &Path)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (table, disk)) in disks.iter().enumerate() {
        for (other_table, other) in &disks[..index] {
            let (Some(a), Some(b)) = (store_of(disk), store_of(other)) else {
                continue;
            };
            if graph.beneath(disk).contains(&b) || graph.beneath(other).contains(&a) {
                let what = match a == b {
                    true => format!(
                        "{} and {} are the same disk",
                        other.display(),
                        disk.display()
                    ),
                    false => format!("{} and {} overlap", other.display(), disk.display()),
                };
                problems.push(
                    Problem::new(what)
                        .at(format!("{other_table} and {table}"))
                        .hint("give each a disk of its own"),
                );
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::device_number::DeviceNumber;
    use super::*;
    use crate::config::load;
    use crate::host::MountTable;

    /// A host whose file system under `folder` is on a loop device over `image`.
    fn host_with_loop(sys: &Path, folder: &Path, image: &Path) -> DiskGraph {
        let number = DeviceNumber::from_raw(folder.metadata().unwrap().dev());
        let node = sys.join(format!("dev/block/{number}"));
        std::fs::create_dir_all(node.join("loop")).unwrap();
        std::fs::write(
            node.join("loop/backing_file"),
            format!("{}\n", image.display()),
        )
        .unwrap();
        DiskGraph::at(sys, MountTable::default())
    }

    #[test]
    fn a_journal_on_the_mirrored_disk_is_refused_and_elsewhere_not() {
        let temp = tempfile::tempdir().unwrap();
        let (image, other) = (temp.path().join("image"), temp.path().join("other"));
        for disk in [&image, &other] {
            std::fs::write(disk, [0; 4096]).unwrap();
        }
        let file = temp.path().join("aim.toml");
        let here = temp.path().join("not/yet/there").display().to_string();
        let graph = host_with_loop(&temp.path().join("sys"), temp.path(), &image);
        let elsewhere = host_with_loop(&temp.path().join("sys2"), temp.path(), &other);
        for (key, journal, state) in [
            ("journal", here.as_str(), "/proc"),
            ("state_dir", "/proc", here.as_str()),
        ] {
            let text = format!(
                "state_dir = \"{state}\"\n[volume.data]\ndevice = \"{}\"\njournal = \"{journal}\"\ntarget = \"ssh://a@b/c\"\nkey = \"agent\"\nknown_hosts = \"/k\"\n",
                image.display(),
            );
            std::fs::write(&file, text).unwrap();
            let config = load(&file).unwrap();
            let problems = check(&config, &graph);
            assert_eq!(problems.len(), 1, "{problems:?}");
            let shown = problems[0].to_string();
            assert!(shown.starts_with(&format!("error: `{key}`")), "{shown}");
            assert!(shown.contains("lies on the mirrored disk"), "{shown}");
            assert_eq!(check(&config, &elsewhere), []);
        }
    }
}

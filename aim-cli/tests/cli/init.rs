//! `aim init` on both sides, with image files and a directory as the target.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{Ran, aim, text};

const SIZE: u64 = 4 << 20;

/// Both sides of a pair in one folder.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let pair = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for disk in ["source.img", "mirror.img"] {
            let file = std::fs::File::create(pair.path(disk)).unwrap();
            file.set_len(SIZE).unwrap();
        }
        std::fs::create_dir(pair.path("mirror")).unwrap();
        let at = |name: &str| pair.path(name).display().to_string();
        let source = format!(
            "[volume.data]\ndevice = \"{}\"\njournal = \"{}\"\ntarget = \"{}\"\n",
            at("source.img"),
            at("journal/data"),
            at("mirror")
        );
        std::fs::write(pair.path("source.toml"), source).unwrap();
        let mirror = format!(
            "[mirror.data]\ndevice = \"{}\"\ndirectory = \"{}\"\n",
            at("mirror.img"),
            at("mirror")
        );
        std::fs::write(pair.path("mirror.toml"), mirror).unwrap();
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn init(&self, side: &str, more: &[&str]) -> Ran {
        let config = self.path(&format!("{side}.toml"));
        let mut arguments = vec!["init", "data", "--json", "-c", text(&config)];
        arguments.extend(more);
        aim(&arguments)
    }

    #[track_caller]
    fn status(ran: Ran) -> String {
        ran.exits(0).json()["status"].as_str().unwrap().to_owned()
    }
}

/// Puts the magic number of ext4 on a disk.
fn mark(disk: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
    file.write_all_at(&[0x53, 0xef], 0x438).unwrap();
}

#[test]
fn both_sides_once_and_again() {
    let pair = Pair::new();
    assert_eq!(Pair::status(pair.init("source", &[])), "initialized");
    assert_eq!(
        Pair::status(pair.init("source", &[])),
        "already_initialized"
    );
    assert_eq!(Pair::status(pair.init("mirror", &[])), "initialized");
    assert_eq!(
        Pair::status(pair.init("mirror", &[])),
        "already_initialized"
    );
    for name in [
        "journal/data/volume.id",
        "mirror/volume.id",
        "mirror/mirror.id",
    ] {
        assert!(pair.path(name).is_file(), "{name}");
    }
    for name in ["journal/data", "mirror/incoming", "mirror/rejected"] {
        let mode = pair.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7, 0, "others can look into {name}");
    }
}

#[test]
fn an_interrupted_delivery_is_completed() {
    let pair = Pair::new();
    std::fs::remove_dir(pair.path("mirror")).unwrap();
    pair.init("source", &[])
        .exits(10)
        .says("make the directory on the mirror host");
    std::fs::create_dir(pair.path("mirror")).unwrap();
    assert_eq!(Pair::status(pair.init("source", &[])), "initialized");
    std::fs::remove_file(pair.path("mirror/volume.id")).unwrap();
    assert_eq!(Pair::status(pair.init("source", &[])), "completed");
}

#[test]
fn the_first_text_says_that_both_disks_must_be_identical() {
    let pair = Pair::new();
    let config = pair.path("source.toml");
    let ran = aim(&["init", "data", "-c", text(&config)]).exits(0);
    assert!(
        ran.stdout
            .contains("must hold the same bytes to begin with"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_target_of_another_volume_is_refused() {
    let pair = Pair::new();
    pair.init("source", &[]).exits(0);
    std::fs::remove_dir_all(pair.path("journal")).unwrap();
    pair.init("source", &[])
        .exits(15)
        .says("the target belongs to volume");
    assert!(!pair.path("journal/data/volume.id").exists());
}

#[test]
fn a_source_disk_with_data_needs_the_word_of_the_operator() {
    let pair = Pair::new();
    mark(&pair.path("source.img"));
    pair.init("source", &[])
        .exits(2)
        .says("ext2/3/4 file system at byte 1080")
        .says("--assume-identical");
    assert!(!pair.path("journal").exists());
    assert_eq!(
        Pair::status(pair.init("source", &["--assume-identical"])),
        "initialized"
    );
}

#[test]
fn a_mirror_disk_with_data_must_be_named() {
    let pair = Pair::new();
    pair.init("source", &[]).exits(0);
    let (disk, other) = (pair.path("mirror.img"), pair.path("source.img"));
    mark(&disk);
    pair.init("mirror", &[]).exits(2).says("--overwrite");
    pair.init("mirror", &["--overwrite", text(&other)])
        .exits(2)
        .says("is not the disk of this mirror");
    assert_eq!(
        Pair::status(pair.init("mirror", &["--overwrite", text(&disk)])),
        "initialized"
    );
}

#[test]
fn a_mirror_needs_its_volume_and_a_disk_of_the_same_size() {
    let pair = Pair::new();
    pair.init("mirror", &[])
        .exits(10)
        .says("volume.id is missing");
    pair.init("source", &[]).exits(0);
    let disk = std::fs::File::options()
        .write(true)
        .open(pair.path("mirror.img"))
        .unwrap();
    disk.set_len(SIZE - 4096).unwrap();
    pair.init("mirror", &[])
        .exits(2)
        .says("the disk has 4190208 bytes, the volume has 4194304");
    assert!(!pair.path("mirror/mirror.id").exists());
}

#[test]
fn a_disk_in_use_is_busy() {
    let pair = Pair::new();
    let _owner = aim_core::device::FileDevice::open_exclusive(pair.path("source.img")).unwrap();
    pair.init("source", &[])
        .exits(11)
        .says("can't use the disk");
}

#[test]
fn a_journal_directory_with_other_files_is_refused() {
    let pair = Pair::new();
    std::fs::create_dir_all(pair.path("journal/data")).unwrap();
    std::fs::write(pair.path("journal/data/notes"), "x").unwrap();
    pair.init("source", &[]).exits(2).says("it holds `notes`");
}

#[test]
fn an_unknown_name_is_not_found() {
    let pair = Pair::new();
    let config = pair.path("source.toml");
    aim(&["init", "dta", "-c", text(&config)])
        .exits(10)
        .says("did you mean `data`?");
}

#[test]
fn status_and_wait_without_a_daemon() {
    let pair = Pair::new();
    let config = pair.path("source.toml");
    let text_of = std::fs::read_to_string(&config).unwrap();
    let run_dir = format!("run_dir = \"{}\"\n", pair.path("run").display());
    std::fs::write(&config, run_dir + &text_of).unwrap();
    let status = |code| {
        aim(&["status", "--json", "-c", text(&config)])
            .exits(code)
            .json()
    };
    let error = status(3)["volumes"][0]["last_error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(error.contains("journal"), "{error}");
    pair.init("source", &[]).exits(0);
    let report = status(3);
    assert_eq!(report["daemon"]["running"], false);
    assert_eq!(report["volumes"][0]["state"], "stopped");
    assert_eq!(report["volumes"][0]["sealed_lsn"], 0);
    assert_eq!(report["volumes"][0]["last_error"], serde_json::Value::Null);
    aim(&["wait", "data", "-c", text(&config)])
        .exits(3)
        .says("no aim is running");
}

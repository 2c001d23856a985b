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
            "state_dir = \"{}\"\n[volume.data]\ndevice = \"{}\"\njournal = \"{}\"\ntarget = \"{}\"\n",
            at("state"),
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

    /// A directory that stands for a store, in the place of the mirror's own.
    fn by_a_store(self) -> Self {
        std::fs::create_dir(self.path("store")).unwrap();
        let source = std::fs::read_to_string(self.path("source.toml")).unwrap();
        let (mirror, store) = (self.path("mirror"), self.path("store"));
        let source = source.replace(text(&mirror), text(&store));
        std::fs::write(self.path("source.toml"), source).unwrap();
        let fetch = format!("[mirror.data.fetch]\nurl = \"{}\"\n", store.display());
        let config = std::fs::read_to_string(self.path("mirror.toml")).unwrap();
        std::fs::write(self.path("mirror.toml"), config + &fetch).unwrap();
        self
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

    /// The volume in the report of `aim status` without a daemon.
    fn volume(&self) -> serde_json::Value {
        let config = self.path("source.toml");
        let text_of = std::fs::read_to_string(&config).unwrap();
        if !text_of.contains("run_dir") {
            let run_dir = format!("run_dir = \"{}\"\n", self.path("run").display());
            std::fs::write(&config, run_dir + &text_of).unwrap();
        }
        let ran = aim(&["status", "--json", "-c", text(&config)]).exits(3);
        ran.json()["volumes"][0].clone()
    }

    /// Bytes that are to be copied.
    fn needed(&self) -> Option<u64> {
        let volume = self.volume();
        assert_eq!(volume["last_error"], serde_json::Value::Null);
        volume["resync"]["needed_bytes"].as_u64()
    }

    fn last_error(&self) -> String {
        self.volume()["last_error"].as_str().unwrap().to_owned()
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
        "state/data/extents.map",
        "mirror/volume.id",
        "mirror/mirror.id",
    ] {
        assert!(pair.path(name).is_file(), "{name}");
    }
    for name in [
        "journal/data",
        "state/data",
        "mirror/incoming",
        "mirror/rejected",
    ] {
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
fn the_first_text_says_what_is_copied_at_first() {
    for (more, said) in [
        (&[][..], "copies to the mirror whatever differs there"),
        (&["--assume-identical"], "Nothing is copied at first"),
    ] {
        let pair = Pair::new();
        let config = pair.path("source.toml");
        let arguments = [&["init", "data", "-c", text(&config)], more].concat();
        let ran = aim(&arguments).exits(0);
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
}

#[test]
fn an_extent_map_that_is_not_this_journals_is_made_anew() {
    let pair = Pair::new();
    pair.init("source", &["--assume-identical"]).exits(0);
    assert_eq!(pair.needed(), None);
    // as where another file system is mounted there, which holds an older map
    std::fs::rename(pair.path("state"), pair.path("elsewhere")).unwrap();
    assert!(pair.last_error().contains("extent map"));
    assert_eq!(Pair::status(pair.init("source", &[])), "completed");
    assert_eq!(pair.needed(), Some(SIZE));
    let state = std::fs::read(pair.path("state/data/extents.map")).unwrap();
    std::fs::remove_dir_all(pair.path("state")).unwrap();
    std::fs::rename(pair.path("elsewhere"), pair.path("state")).unwrap();
    assert!(pair.last_error().contains("extent map"));
    assert_eq!(Pair::status(pair.init("source", &[])), "completed");
    let again = std::fs::read(pair.path("state/data/extents.map")).unwrap();
    assert!(again == state, "all is to be copied again");
    assert_eq!(
        Pair::status(pair.init("source", &[])),
        "already_initialized"
    );
}

#[test]
fn a_stale_map_is_replaced_by_that_of_the_new_volume() {
    let pair = Pair::new();
    pair.init("source", &[]).exits(0);
    for folder in ["journal", "mirror"] {
        std::fs::remove_dir_all(pair.path(folder)).unwrap();
    }
    std::fs::create_dir(pair.path("mirror")).unwrap();
    assert_eq!(
        Pair::status(pair.init("source", &["--assume-identical"])),
        "initialized"
    );
    assert_eq!(pair.needed(), None);
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
fn a_source_disk_with_data_is_taken_as_it_is() {
    let pair = Pair::new();
    mark(&pair.path("source.img"));
    assert_eq!(Pair::status(pair.init("source", &[])), "initialized");
    assert_eq!(pair.needed(), Some(SIZE));
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
    assert!(pair.last_error().contains("journal"));
    pair.init("source", &[]).exits(0);
    let volume = pair.volume();
    assert_eq!(volume["state"], "stopped");
    assert_eq!(volume["sealed_lsn"], 0);
    assert_eq!(volume["last_error"], serde_json::Value::Null);
    assert_eq!(volume["different_bytes"], 0);
    assert_eq!(volume["resync"]["needed_bytes"], SIZE);
    let config = pair.path("source.toml");
    for command in ["wait", "sync", "verify"] {
        aim(&[command, "data", "-c", text(&config)])
            .exits(3)
            .says("no aim is running");
    }
}

#[test]
fn copying_and_verifying_are_asked_for_on_the_source() {
    let pair = Pair::new();
    let config = pair.path("mirror.toml");
    for command in ["sync", "verify"] {
        aim(&[command, "data", "-c", text(&config)])
            .exits(2)
            .says("`data` is a mirror")
            .says("say it on the source");
    }
}

#[test]
fn a_mirror_that_fetches_takes_the_volume_out_of_the_store() {
    let pair = Pair::new().by_a_store();
    let early = pair.init("mirror", &[]).exits(10);
    assert!(
        early.stderr.contains("no volume is in the store"),
        "{}",
        early.stderr
    );
    assert_eq!(Pair::status(pair.init("source", &[])), "initialized");
    assert_eq!(Pair::status(pair.init("mirror", &[])), "initialized");
    // nobody asks it what it holds
    assert!(pair.path("mirror/follower.id").exists());
    assert_eq!(
        Pair::status(pair.init("mirror", &[])),
        "already_initialized"
    );
    std::fs::remove_file(pair.path("mirror/volume.id")).unwrap();
    let other = Pair::new();
    assert_eq!(Pair::status(other.init("source", &[])), "initialized");
    std::fs::copy(
        other.path("mirror/volume.id"),
        pair.path("mirror/volume.id"),
    )
    .unwrap();
    let foreign = pair.init("mirror", &[]).exits(15);
    assert!(
        foreign.stderr.contains("belongs to volume"),
        "{}",
        foreign.stderr
    );
}

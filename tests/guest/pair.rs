//! A volume and its mirror, both on this machine, each with a daemon of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::machine::{Disks, first_difference, shell, variable};

/// Where the journal disk is mounted.
const FOLDER: &str = "/mnt/aim-journal";
/// Where the extent map is: on another file system.
const STATE: &str = "/run/aim-state";
/// Where the tests mount the device.
pub(crate) const MOUNT: &str = "/mnt/aim-device";

/// The two disks with `aim` between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) disks: Disks,
    source: Option<Daemon>,
    mirror: Option<Daemon>,
    /// What the source runs.
    program: PathBuf,
}

impl Pair {
    /// Blank disks, a directory as the target.
    pub(crate) fn new() -> Self {
        prepare();
        Self::with_target(&folder_target())
    }

    /// The same, with these lines in the volume's table as well.
    pub(crate) fn with_lines(lines: &str) -> Self {
        prepare();
        Self::with_target(&format!("{}\n{lines}", folder_target()))
    }

    /// Blank disks, and these lines of the volume's table to say where files go.
    ///
    /// Call [`prepare`] before.
    pub(crate) fn with_target(target: &str) -> Self {
        // both are blank
        Self::init(target, "--assume-identical", "")
    }

    /// What the source's disk holds by now is copied first.
    ///
    /// Call [`prepare`] before.
    pub(crate) fn with_first_copy() -> Self {
        let mirror = Disks::of_this_machine().mirror;
        let overwrite = format!("--overwrite {}", mirror.display());
        Self::init(&folder_target(), "", &overwrite)
    }

    fn init(target: &str, how: &str, how_mirror: &str) -> Self {
        let disks = Disks::of_this_machine();
        let volume = format!(
            "run_dir = \"/run/aim-source\"\nstate_dir = \"{STATE}\"\n[volume.data]\ndevice = \"{}\"\n\
             journal = \"{FOLDER}/source\"\nseal_bytes = \"1MiB\"\nseal_after = \"200ms\"\n{target}\n",
            disks.source.display(),
        );
        let mirror = format!(
            "run_dir = \"/run/aim-mirror\"\n[mirror.data]\ndevice = \"{}\"\n\
             directory = \"{FOLDER}/mirror\"\n",
            disks.mirror.display(),
        );
        for (path, text, how) in [
            (source_config(), volume, how),
            (mirror_config(), mirror, how_mirror),
        ] {
            fs::write(&path, text).expect("the configuration is written");
            let (program, path) = (variable("AIM_TEST_PROGRAM"), path.display());
            shell(&format!("{program} init data {how} --config {path}"));
        }
        let mut pair = Self {
            disks,
            source: None,
            mirror: None,
            program: PathBuf::from(variable("AIM_TEST_PROGRAM")),
        };
        pair.start_mirror();
        pair.start_source();
        pair
    }

    /// The mirrored disk, by its kernel name, so that those of partitions can be told.
    pub(crate) fn device(&self) -> String {
        let path = fs::canonicalize("/dev/aim/data").expect("the device is there");
        path.display().to_string()
    }

    /// The daemon of the source.
    pub(crate) fn source(&self) -> &Daemon {
        self.source.as_ref().expect("the source runs")
    }

    /// The daemon of the mirror.
    pub(crate) fn mirror(&self) -> &Daemon {
        self.mirror.as_ref().expect("the mirror runs")
    }

    pub(crate) fn start_source(&mut self) {
        self.spawn_source();
        self.source().until(": running version=");
    }

    /// As [`start_source`](Self::start_source), without waiting for anything.
    pub(crate) fn spawn_source(&mut self) {
        self.source = Some(Daemon::spawn(&source_config(), &self.program));
    }

    /// From now on the source runs the program at this path.
    pub(crate) fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    pub(crate) fn start_mirror(&mut self) {
        self.mirror = Some(Daemon::start(&mirror_config()));
    }

    pub(crate) fn stop_source(&mut self) {
        self.source.take().expect("the source runs").stop();
    }

    /// The source ends and leaves its device to the next one.
    pub(crate) fn leave_source(&mut self) {
        self.source.take().expect("the source runs").leave();
    }

    pub(crate) fn stop_mirror(&mut self) {
        self.mirror.take().expect("the mirror runs").stop();
    }

    pub(crate) fn kill_source(&mut self) {
        self.source.take().expect("the source runs").kill();
    }

    pub(crate) fn kill_mirror(&mut self) {
        self.mirror.take().expect("the mirror runs").kill();
    }

    /// Everything reaches the mirror and the daemons stop; then the disks are the same, byte for
    /// byte, and no file is left over or was set aside.
    pub(crate) fn end(mut self) -> Disks {
        shell("sync");
        self.source().settle();
        assert_eq!(self.source().status("resync"), serde_json::Value::Null);
        self.stop_source();
        self.mirror().settle();
        self.stop_mirror();
        let differs = first_difference(&self.disks.source, &self.disks.mirror);
        assert_eq!(differs, None, "the mirror differs from the source");
        for folder in [
            "source/open",
            "source/outgoing",
            "mirror/incoming",
            "mirror/rejected",
        ] {
            let left = files_in(&Path::new(FOLDER).join(folder));
            assert!(left.is_empty(), "{folder} holds {left:?}");
        }
        self.disks.clone()
    }
}

/// Makes the disks blank and the journal disk empty, and mounts that.
pub(crate) fn prepare() {
    let Disks {
        source,
        mirror,
        journal,
    } = Disks::of_this_machine();
    let (source, mirror, journal) = (source.display(), mirror.display(), journal.display());
    let program = variable("AIM_TEST_PROGRAM");
    shell(&format!(
        "modprobe ublk_drv
         # what a test that failed has left behind must not make the next one fail, too
         {program} abandon data 2> /dev/null || true
         dmsetup remove --force aimgroup-one 2> /dev/null || true
         for disk in {source} {mirror} {journal} /dev/ublkb; do
             grep \"^$disk\" /proc/mounts | cut -d ' ' -f 2 | xargs -r umount || true
         done
         mkdir -p {MOUNT} {FOLDER}
         rm -rf /run/aim-source /run/aim-mirror {STATE}
         blkdiscard -f -z {source}; blkdiscard -f -z {mirror}
         mkfs.ext4 -q -F {journal}; mount {journal} {FOLDER}
         mkdir {FOLDER}/source {FOLDER}/mirror"
    ));
}

/// A file in this folder takes room from the journal and from the mirror's directory.
pub(crate) fn journal_disk() -> &'static Path {
    Path::new(FOLDER)
}

fn folder_target() -> String {
    format!("target = \"{FOLDER}/mirror\"")
}

/// Where the mirror's files are on this machine.
pub(crate) fn mirror_folder() -> PathBuf {
    Path::new(FOLDER).join("mirror")
}

/// The configuration of the source.
pub(crate) fn source_config() -> PathBuf {
    Path::new(FOLDER).join("source.toml")
}

fn mirror_config() -> PathBuf {
    Path::new(FOLDER).join("mirror.toml")
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("readable").path())
        .collect()
}

//! The configuration as the program uses it: every value known and in range.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use aim_remote::ship::{LineOptions, MaxLag};
use serde::Deserialize;

use super::spelling;
use super::target::Target;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};
use crate::logging::LogFormat;

/// A whole configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file that it came from.
    pub(crate) path: PathBuf,
    /// Control socket and staging rings; should be on tmpfs.
    pub(crate) run_dir: PathBuf,
    /// Extent maps; should be on another file system than the journals.
    pub(crate) state_dir: PathBuf,
    /// Filter of the log, where the configuration gives one.
    pub(crate) log_level: Option<String>,
    /// Form of the log, where the configuration gives one.
    pub(crate) log_format: Option<LogFormat>,
    /// `[volume.NAME]`, by name.
    pub(crate) volumes: BTreeMap<String, VolumeConfig>,
    /// `[mirror.NAME]`, by name.
    pub(crate) mirrors: BTreeMap<String, MirrorConfig>,
}

/// A disk whose changes are captured and shipped: `[volume.NAME]`.
#[derive(Clone, Debug)]
pub(crate) struct VolumeConfig {
    /// Also the name of the device under `/dev/aim/`.
    pub(crate) name: String,
    /// The backing device or image file.
    pub(crate) device: PathBuf,
    /// The journal directory.
    pub(crate) journal: PathBuf,
    /// The directory of the extent map: a folder of `state_dir`.
    pub(crate) state: PathBuf,
    /// Where it is shipped to: at least one, in the order of their names.
    pub(crate) targets: Vec<TargetConfig>,
    /// Hardware queues of the ublk device.
    pub(crate) queues: u16,
    /// Requests in flight per queue.
    pub(crate) depth: u16,
    /// Threads that share a queue.
    pub(crate) threads_per_queue: u16,
    /// How the data of reads gets to who asks for it.
    pub(crate) read_path: ReadPath,
    /// A journal file is sealed when it has grown to this.
    pub(crate) seal_bytes: u64,
    /// ... or when its first record is this old.
    pub(crate) seal_after: Duration,
    /// Memory for writes that wait for the journal.
    pub(crate) staging_bytes: u64,
    /// The largest request with a payload; a multiple of 4096.
    pub(crate) request_bytes: u32,
    /// What happens to writers while the journal has no room.
    pub(crate) on_journal_full: OnJournalFull,
    /// Bytes that journal files may take; `None`: what the file system has.
    pub(crate) journal_bytes: Option<u64>,
    /// Bytes of the disk that stay noted as written to.
    pub(crate) max_hot_bytes: u64,
    /// Bytes a second at which the disk is read to be copied; `None`: as fast as it goes.
    pub(crate) resync_rate: Option<u64>,
    /// Bytes a second at which the disk is read to be verified; `None`: as fast as it goes.
    pub(crate) verify_rate: Option<u64>,
    /// All of the disk is verified once in this time; `None`: only when asked.
    pub(crate) verify_every: Option<Duration>,
}

/// A place that a volume is shipped to: `[volume.NAME.targets.NAME]`, or that a mirror passes on to what it
/// receives: `[mirror.NAME.targets.NAME]`.
#[derive(Clone, Debug)]
pub(crate) struct TargetConfig {
    /// `target` for the only one of the short form.
    pub(crate) name: String,
    /// The mirror's directory.
    pub(crate) target: Target,
    /// How to log in there; always present for an SSH target and an object store.
    pub(crate) login: Option<Login>,
    /// How files go there.
    pub(crate) line: LineConfig,
    /// How far behind it may be before it is left to a resync.
    pub(crate) max_lag: MaxLag,
}

/// How files go to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineConfig {
    /// Channels for files, over ssh.
    pub(crate) channels: NonZeroUsize,
    /// For the shipper.
    pub(crate) options: LineOptions,
}

/// What happens to writers while the journal has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnJournalFull {
    /// They go on; what they change is noted and copied later.
    #[default]
    Track,
    /// They wait.
    Block,
}

/// How the data of reads gets to who asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadPath {
    /// Through the memory of this program.
    #[default]
    Copy,
    /// From the disk to where it is wanted, where the kernel can do that.
    ZeroCopy,
}

/// How to prove who we are, and who the other host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// With the SSH client that is built in.
    BuiltIn {
        /// Our key.
        key: Key,
        /// The host keys that are accepted.
        known_hosts: PathBuf,
    },
    /// With the user's own `ssh`, whose configuration says how.
    Program {
        /// The program file.
        path: PathBuf,
        /// Its configuration; `None`: where it looks by itself.
        config: Option<PathBuf>,
    },
    /// At an object store.
    Store {
        /// Address of the server; `None`: Amazon's in the region.
        endpoint: Option<String>,
        /// Region of the bucket.
        region: String,
        /// The file with the access key; `None`: it is in variables of the environment.
        credentials: Option<PathBuf>,
        /// Whether the way there may be without encryption.
        allow_http: bool,
    },
}

/// Where the private key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// In an agent.
    Agent {
        /// Its socket; `None`: the one that `SSH_AUTH_SOCK` names.
        socket: Option<PathBuf>,
    },
    /// In a file.
    File {
        /// The private key.
        path: PathBuf,
        /// The file with its passphrase, where it has one.
        passphrase: Option<PathBuf>,
    },
}

/// A disk that arriving journal files are applied to: `[mirror.NAME]`.
#[derive(Clone, Debug)]
pub(crate) struct MirrorConfig {
    /// Its name in messages.
    pub(crate) name: String,
    /// The device or image file that is overwritten.
    pub(crate) device: PathBuf,
    /// The directory that the source ships to.
    pub(crate) directory: PathBuf,
    /// Where it passes on what it receives, in the order of their names; mostly nowhere.
    pub(crate) targets: Vec<TargetConfig>,
    /// The object store that it fetches from; `None`: somebody brings it what it is to apply.
    pub(crate) fetch: Option<TargetConfig>,
}

/// What a NAME on the command line stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// `[volume.NAME]`
    Volume(&'a VolumeConfig),
    /// `[mirror.NAME]`
    Mirror(&'a MirrorConfig),
}

impl Config {
    /// Finds NAME, `volume.NAME` or `mirror.NAME`.
    ///
    /// # Errors
    ///
    /// Not found, with a near spelling; or a bare name that is both a volume and a mirror.
    pub(crate) fn entry(&self, name: &str) -> Outcome<Entry<'_>> {
        let volume = |name| self.volumes.get(name).map(Entry::Volume);
        let mirror = |name| self.mirrors.get(name).map(Entry::Mirror);
        let found = match name.split_once('.') {
            Some(("volume", rest)) => volume(rest),
            Some(("mirror", rest)) => mirror(rest),
            _ => match (volume(name), mirror(name)) {
                (Some(_), Some(_)) => return Err(self.ambiguous(name)),
                (volume, mirror) => volume.or(mirror),
            },
        };
        found.ok_or_else(|| self.not_found(name))
    }

    fn ambiguous(&self, name: &str) -> Failure {
        Problem::new(format!("`{name}` is both a volume and a mirror"))
            .at(self.path.display())
            .hint(format!("say `volume.{name}` or `mirror.{name}`"))
            .exit(Exit::Usage)
    }

    /// The failure for a name that is not in the file.
    pub(crate) fn not_found(&self, name: &str) -> Failure {
        let names: Vec<&str> = self
            .volumes
            .keys()
            .chain(self.mirrors.keys())
            .map(String::as_str)
            .collect();
        let hint = match spelling::nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the file has: {}", names.join(", ")),
        };
        Problem::new(format!("no volume or mirror is called `{name}`"))
            .at(self.path.display())
            .hint(hint)
            .exit(Exit::NotFound)
    }

    /// Path of the control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir.join("aim.sock")
    }
}

//! From what was typed to values: required keys, defaults, ranges, names, things used twice.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parse::Tables;
use super::quantity::Size;
use super::raw::{RawMirror, RawVolume};
use super::target::Target;
use super::typed::{Config, Key, Login, MirrorConfig, VolumeConfig};
use crate::failure::Problem;

const RUN_DIR: &str = "/run/aim";
const QUEUES: RangeInclusive<u16> = 1..=32;
const DEPTH: RangeInclusive<u16> = 1..=1024;
const SEAL_BYTES: RangeInclusive<u64> = (1 << 20)..=(512 << 20);
const STAGING_BYTES: RangeInclusive<u64> = (4 << 20)..=(16 << 30);
const REQUEST_BYTES: RangeInclusive<u64> = (4 << 10)..=(32 << 20);
/// Requests are made of whole pages.
const PAGE_BYTES: u64 = 4096;
const SEAL_AFTER: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const NAME_MAX: usize = 32;

/// Turns tables into a configuration. What is wrong is named in the second value; the first is
/// whole only if that is empty.
pub(super) fn resolve(path: &Path, tables: Tables) -> (Config, Vec<Problem>) {
    let mut check = Check {
        path,
        table: String::new(),
        problems: Vec::new(),
    };
    if tables.volumes.is_empty() && tables.mirrors.is_empty() {
        let problem = Problem::new("neither a volume nor a mirror is configured")
            .at(path.display())
            .hint("add a table [volume.NAME] on the source, [mirror.NAME] on the mirror host");
        check.problems.push(problem);
    }
    let run_dir = tables.run_dir.unwrap_or_else(|| PathBuf::from(RUN_DIR));
    check.table = "the top of the file".to_owned();
    check.absolute("run_dir", Some(run_dir.clone()));
    let mut volumes = BTreeMap::new();
    for (name, raw) in tables.volumes {
        check.table = format!("[volume.{name}]");
        volumes.insert(name.clone(), check.volume(name, raw));
    }
    let mut mirrors = BTreeMap::new();
    for (name, raw) in tables.mirrors {
        check.table = format!("[mirror.{name}]");
        mirrors.insert(name.clone(), check.mirror(name, raw));
    }
    let config = Config {
        path: path.to_owned(),
        run_dir,
        log_level: tables.log.level,
        log_format: tables.log.format,
        volumes,
        mirrors,
    };
    check.used_once(&config);
    (config, check.problems)
}

/// One queue per processor, up to four.
fn queues() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors).map_or(4, |count| count.min(4))
}

struct Check<'a> {
    path: &'a Path,
    table: String,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn volume(&mut self, name: String, raw: RawVolume) -> VolumeConfig {
        self.name(&name);
        let target = self.target(raw.target);
        let login = self.login(&target, raw.key, raw.known_hosts);
        let seal_after = raw.seal_after.map_or(Duration::from_secs(1), |span| span.0);
        if !SEAL_AFTER.contains(&seal_after) {
            let what = format!("`seal_after` is {seal_after:?}, must be from 10 ms to 1 h");
            self.wrong(what);
        }
        let mut size = |key: &str, given: Option<Size>, default: u64, range| {
            self.in_range(key, given.unwrap_or(Size(default)), range)
        };
        VolumeConfig {
            seal_bytes: size("seal_bytes", raw.seal_bytes, 16 << 20, SEAL_BYTES),
            staging_bytes: size("staging_bytes", raw.staging_bytes, 32 << 20, STAGING_BYTES),
            request_bytes: self.request_bytes(raw.request_bytes),
            queues: self.count("queues", raw.queues.unwrap_or_else(queues), QUEUES),
            depth: self.count("depth", raw.depth.unwrap_or(64), DEPTH),
            device: self.absolute("device", raw.device),
            journal: self.absolute("journal", raw.journal),
            name,
            target,
            login,
            seal_after,
        }
    }

    fn mirror(&mut self, name: String, raw: RawMirror) -> MirrorConfig {
        self.name(&name);
        MirrorConfig {
            name,
            device: self.absolute("device", raw.device),
            directory: self.absolute("directory", raw.directory),
        }
    }

    fn request_bytes(&mut self, given: Option<Size>) -> u32 {
        let bytes = self.in_range(
            "request_bytes",
            given.unwrap_or(Size(128 << 10)),
            REQUEST_BYTES,
        );
        if !bytes.is_multiple_of(PAGE_BYTES) {
            self.wrong(format!(
                "`request_bytes` is {bytes} bytes, must be a multiple of 4 KiB"
            ));
        }
        // the range ends far below
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// A name becomes part of paths: of a device node, of the staging directory.
    fn name(&mut self, name: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty()
            || name.len() > NAME_MAX
            || name.starts_with('-')
            || !name.chars().all(fits)
        {
            self.wrong(format!(
                "`{name}` can't be a name: 1 to {NAME_MAX} letters, digits, `_` and `-`"
            ));
        }
    }

    fn target(&mut self, given: Option<String>) -> Target {
        match given.as_deref().map(str::parse) {
            Some(Ok(target)) => return target,
            Some(Err(error)) => self.wrong(format!("`target`: {error}")),
            None => self.missing("target"),
        }
        Target::Directory(PathBuf::new())
    }

    fn login(
        &mut self,
        target: &Target,
        key: Option<String>,
        known_hosts: Option<PathBuf>,
    ) -> Option<Login> {
        if let Target::Directory(_) = target {
            for (name, given) in [
                ("key", key.is_some()),
                ("known_hosts", known_hosts.is_some()),
            ] {
                if given {
                    let what = format!("`{name}` has no meaning for a target that is a directory");
                    self.wrong(what);
                }
            }
            return None;
        }
        let key = match key.as_deref() {
            Some("agent") => Key::Agent,
            other => Key::File(self.absolute("key", other.map(PathBuf::from))),
        };
        let known_hosts = self.absolute("known_hosts", known_hosts);
        Some(Login { key, known_hosts })
    }

    fn absolute(&mut self, key: &str, path: Option<PathBuf>) -> PathBuf {
        let Some(path) = path else {
            self.missing(key);
            return PathBuf::new();
        };
        if !path.is_absolute() {
            let what = format!("`{key}` is `{}`, must be an absolute path", path.display());
            self.wrong(what);
        }
        path
    }

    fn count(&mut self, key: &str, value: u16, range: RangeInclusive<u16>) -> u16 {
        self.bounded(key, value, range)
    }

    fn in_range(&mut self, key: &str, value: Size, range: RangeInclusive<u64>) -> u64 {
        self.bounded(key, value, Size(*range.start())..=Size(*range.end()))
            .0
    }

    fn bounded<T: Display + PartialOrd>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> T {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.wrong(format!("`{key}` is {value}, must be from {low} to {high}"));
        }
        value
    }

    /// No device, journal or mirror directory serves two tables: they would overwrite each other.
    fn used_once(&mut self, config: &Config) {
        let mut owners: BTreeMap<PathBuf, String> = BTreeMap::new();
        let volumes = config.volumes.values().flat_map(|volume| {
            let table = format!("[volume.{}]", volume.name);
            [(&volume.device, table.clone()), (&volume.journal, table)]
        });
        let mirrors = config.mirrors.values().flat_map(|mirror| {
            let table = format!("[mirror.{}]", mirror.name);
            [(&mirror.device, table.clone()), (&mirror.directory, table)]
        });
        for (path, table) in volumes.chain(mirrors) {
            if path.as_os_str().is_empty() {
                continue;
            }
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if let Some(first) = owners.insert(real, table.clone()) {
                let what = format!("{} is used by {first} and {table}", path.display());
                let problem = Problem::new(what).at(self.path.display());
                self.problems
                    .push(problem.hint("give each its own device and directory"));
            }
        }
    }

    fn missing(&mut self, key: &str) {
        self.wrong(format!("`{key}` is missing"));
    }

    fn wrong(&mut self, what: String) {
        let place = format!("{} in {}", self.table, self.path.display());
        self.problems.push(Problem::new(what).at(place));
    }
}

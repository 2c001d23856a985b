//! From what was typed to values: required keys, defaults, ranges, names.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::apart;
use super::check::Check;
use super::line::RATE;
use super::parse::Tables;
use super::quantity::{Size, Span};
use super::raw::{RawMirror, RawTarget, RawVolume, only_target};
use super::typed::{Config, MirrorConfig, VolumeConfig};
use crate::failure::Problem;

const RUN_DIR: &str = "/run/aim";
const STATE_DIR: &str = "/var/lib/aim/state";
const QUEUES: RangeInclusive<u16> = 1..=32;
const THREADS: RangeInclusive<u16> = 1..=64;
const DEPTH: RangeInclusive<u16> = 1..=1024;
const SEAL_BYTES: RangeInclusive<u64> = (1 << 20)..=(512 << 20);
const HOT_BYTES: RangeInclusive<u64> = (64 << 20)..=(1 << 40);
const STAGING_BYTES: RangeInclusive<u64> = (4 << 20)..=(16 << 30);
const REQUEST_BYTES: RangeInclusive<u64> = (4 << 10)..=(32 << 20);
/// Requests are made of whole pages.
const PAGE_BYTES: u64 = 4096;
const SEAL_AFTER: RangeInclusive<Span> =
    Span(Duration::from_millis(10))..=Span(Duration::from_secs(3600));
const JOURNAL_BYTES: RangeInclusive<u64> = (4 << 20)..=(1 << 50);
/// The journal must hold at least so many full files, or capture would pause all the time.
const JOURNAL_FILES: u64 = 4;
const VERIFY_EVERY: RangeInclusive<Span> =
    Span(Duration::from_secs(60))..=Span(Duration::from_secs(366 * 86_400));

/// Turns tables into a configuration. What is wrong is named in the second value; the first is
/// whole only if that is empty.
pub(super) fn resolve(path: &Path, tables: Tables) -> (Config, Vec<Problem>) {
    let mut check = Check::new(path);
    if tables.volumes.is_empty() && tables.mirrors.is_empty() {
        let problem = Problem::new("neither a volume nor a mirror is configured")
            .at(path.display())
            .hint("add a table [volume.NAME] on the source, [mirror.NAME] on the mirror host");
        check.add(problem);
    }
    let run_dir = tables.run_dir.unwrap_or_else(|| PathBuf::from(RUN_DIR));
    check.set_table("the top of the file".to_owned());
    check.absolute("run_dir", Some(run_dir.clone()));
    let state_dir = tables.state_dir.unwrap_or_else(|| PathBuf::from(STATE_DIR));
    check.absolute("state_dir", Some(state_dir.clone()));
    let mut volumes = BTreeMap::new();
    for (name, raw) in tables.volumes {
        check.set_table(format!("[volume.{name}]"));
        volumes.insert(name.clone(), check.volume(name, raw, &state_dir));
    }
    let mut mirrors = BTreeMap::new();
    for (name, raw) in tables.mirrors {
        check.set_table(format!("[mirror.{name}]"));
        mirrors.insert(name.clone(), check.mirror(name, raw));
    }
    let config = Config {
        path: path.to_owned(),
        run_dir,
        state_dir,
        log_level: tables.log.level,
        log_format: tables.log.format,
        volumes,
        mirrors,
    };
    let mut problems = check.into_problems();
    problems.extend(apart::check(&config));
    (config, problems)
}

/// One queue per processor, up to four.
fn queues() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors).map_or(4, |count| count.min(4))
}

impl Check<'_> {
    fn volume(&mut self, name: String, raw: RawVolume, state_dir: &Path) -> VolumeConfig {
        self.name(&name);
        let only = only_target!(raw);
        let targets = self.targets(only, raw.targets);
        let seal_after = raw.seal_after.unwrap_or(Span(Duration::from_secs(1)));
        let mut size = |key: &str, given: Option<Size>, default: u64, range| {
            self.in_range(key, given.unwrap_or(Size(default)), range)
        };
        let seal_bytes = size("seal_bytes", raw.seal_bytes, 16 << 20, SEAL_BYTES);
        let staging_bytes = size("staging_bytes", raw.staging_bytes, 32 << 20, STAGING_BYTES);
        let max_hot_bytes = size("max_hot_bytes", raw.max_hot_bytes, 4 << 30, HOT_BYTES);
        let rate = |check: &mut Self, key: &str, given: Option<Size>| {
            given.map(|rate| check.in_range(key, rate, RATE))
        };
        VolumeConfig {
            seal_bytes,
            staging_bytes,
            max_hot_bytes,
            seal_after: self.bounded("seal_after", seal_after, SEAL_AFTER).0,
            on_journal_full: raw.on_journal_full.unwrap_or_default(),
            journal_bytes: self.journal_bytes(raw.journal_bytes, seal_bytes),
            resync_rate: rate(self, "resync_rate", raw.resync_rate),
            verify_rate: rate(self, "verify_rate", raw.verify_rate),
            verify_every: raw
                .verify_every
                .map(|every| self.bounded("verify_every", every, VERIFY_EVERY).0),
            state: state_dir.join(&name),
            request_bytes: self.request_bytes(raw.request_bytes),
            queues: self.count("queues", raw.queues.unwrap_or_else(queues), QUEUES),
            depth: self.count("depth", raw.depth.unwrap_or(64), DEPTH),
            threads_per_queue: self.count(
                "threads_per_queue",
                raw.threads_per_queue.unwrap_or(1),
                THREADS,
            ),
            read_path: raw.read_path.unwrap_or_default(),
            device: self.absolute("device", raw.device),
            journal: self.absolute("journal", raw.journal),
            name,
            targets,
        }
    }

    fn journal_bytes(&mut self, given: Option<Size>, seal_bytes: u64) -> Option<u64> {
        let bytes = self.in_range("journal_bytes", given?, JOURNAL_BYTES);
        if bytes < JOURNAL_FILES * seal_bytes {
            self.wrong(format!(
                "`journal_bytes` is {}, must be at least {JOURNAL_FILES} times `seal_bytes`, which is {}",
                Size(bytes),
                Size(seal_bytes)
            ));
        }
        Some(bytes)
    }

    fn mirror(&mut self, name: String, raw: RawMirror) -> MirrorConfig {
        self.name(&name);
        let only = only_target!(raw);
        // most pass on nothing
        let targets = match raw.targets.is_none() && only.given().is_empty() {
            true => Vec::new(),
            false => self.targets(only, raw.targets),
        };
        let to_store = targets.iter().find(|target| !target.target.answers());
        if let Some(target) = to_store {
            self.wrong(format!(
                "{} is an object store: a mirror passes on to mirrors only",
                target.target
            ));
        }
        let table = self.table().to_owned();
        self.set_table(table.trim_end_matches(']').to_owned() + ".fetch]");
        let fetch = raw.fetch.map(|raw| self.fetch(raw));
        self.set_table(table);
        MirrorConfig {
            name,
            targets,
            fetch,
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
}

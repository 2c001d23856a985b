//! What this process may do and take.

use rustix::process::{Resource, getrlimit};

use super::finding::Section;
use crate::config::{Config, Size, VolumeConfig};

/// Capabilities that a host with volumes needs, by their bit.
const CAPABILITIES: [(u32, &str); 3] = [
    (IPC_LOCK, "CAP_IPC_LOCK"),
    (21, "CAP_SYS_ADMIN"),
    (24, "CAP_SYS_RESOURCE"),
];
const IPC_LOCK: u32 = 14;
/// Files that a volume or mirror has open, generously.
const FILES_EACH: u64 = 128;
const FILES_BESIDES: u64 = 128;

/// Bytes that a volume keeps locked in memory, staging and requests in flight.
pub(super) fn locked_bytes(volume: &VolumeConfig) -> u64 {
    let requests = u64::from(volume.queues) * u64::from(volume.depth) * 2;
    volume.staging_bytes + requests * u64::from(volume.request_bytes)
}

/// Rights, memory and open files.
pub(super) fn judge(section: &mut Section, config: &Config) {
    if !config.volumes.is_empty() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        rights(section, &status, getrlimit(Resource::Memlock).current);
        let needed = config.volumes.values().map(locked_bytes).sum();
        memory(section, needed, total_memory());
    }
    let entries = (config.volumes.len() + config.mirrors.len()) as u64;
    let limit = getrlimit(Resource::Nofile).current;
    open_files(section, limit, FILES_BESIDES + entries * FILES_EACH);
}

/// `memlock` bytes may be locked without a right to do so; `None` is any number.
fn rights(section: &mut Section, status: &str, memlock: Option<u64>) {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let may_lock = match memlock {
        None => 1 << IPC_LOCK,
        Some(_) => 0,
    };
    let held = held.unwrap_or(0) | may_lock;
    let lacking: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| held & (1 << bit) == 0)
        .map(|(_, name)| *name)
        .collect();
    match lacking.as_slice() {
        [] => section.ok("rights", "all that a disk needs to be served"),
        lacking => section.problem(
            "rights",
            format!("without {}", lacking.join(", ")),
            "run as root; in a container, give it these capabilities; LimitMEMLOCK=infinity stands \
             for CAP_IPC_LOCK",
        ),
    };
}

/// With CAP_IPC_LOCK no limit counts: what counts is that there is so much.
fn memory(section: &mut Section, needed: u64, total: Option<u64>) {
    let what = format!("{} are locked by volumes", Size(needed));
    let finding = match total {
        Some(total) if needed > total / 2 => section.problem(
            "memory",
            format!("{what}, of {}", Size(total)),
            "make `staging_bytes`, `queues`, `depth` or `request_bytes` smaller",
        ),
        Some(total) if needed > total / 4 => section.warn(
            "memory",
            format!("{what}, of {}", Size(total)),
            "make `staging_bytes`, `queues`, `depth` or `request_bytes` smaller",
        ),
        _ => section.ok("memory", what),
    };
    finding.figure("locked_bytes", needed);
    if let Some(total) = total {
        finding.figure("total_bytes", total);
    }
}

fn open_files(section: &mut Section, limit: Option<u64>, needed: u64) {
    let finding = match limit {
        Some(limit) if limit < needed => section.warn(
            "open_files",
            format!("{limit} may be open here, {needed} may be needed"),
            "raise the limit: `ulimit -n`, or LimitNOFILE= in the service",
        ),
        Some(limit) => section.ok("open_files", format!("{limit} may be open")),
        None => section.ok("open_files", "any number may be open"),
    };
    if let Some(limit) = limit {
        finding.figure("limit", limit);
    }
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn verdict(judge: impl FnOnce(&mut Section)) -> (Verdict, String) {
        let mut section = Section::new("host");
        judge(&mut section);
        let finding = &section.findings[0];
        (finding.verdict, finding.render())
    }

    #[test]
    fn lacking_rights_are_named() {
        let all =
            verdict(|section| rights(section, "Name:\taim\nCapEff:\t000001ffffffffff\n", Some(0)));
        assert_eq!(all.0, Verdict::Ok);
        for (mask, memlock, expected) in [
            ("0000000000204000", Some(0), "CAP_SYS_RESOURCE"),
            ("0000000001200000", Some(1 << 20), "CAP_IPC_LOCK"),
            ("0000000000200000", None, "CAP_SYS_RESOURCE"),
        ] {
            let some = verdict(|s| rights(s, &format!("CapEff:\t{mask}\n"), memlock));
            assert_eq!(some.0, Verdict::Problem);
            let said = format!("without {expected}\n");
            assert!(some.1.contains(&said), "{}", some.1);
        }
        let unknown = verdict(|section| rights(section, "", Some(0)));
        assert_eq!(unknown.0, Verdict::Problem);
    }

    #[test]
    fn memory_and_files_are_measured_against_what_is_needed() {
        for (needed, expected) in [
            (1, Verdict::Ok),
            (300, Verdict::Warning),
            (600, Verdict::Problem),
        ] {
            let found = verdict(|section| memory(section, needed << 20, Some(1000 << 20)));
            assert_eq!(found.0, expected, "{}", found.1);
        }
        assert_eq!(
            verdict(|s| open_files(s, Some(100), 200)).0,
            Verdict::Warning
        );
        assert_eq!(verdict(|s| open_files(s, Some(200), 200)).0, Verdict::Ok);
        assert_eq!(verdict(|s| open_files(s, None, 200)).0, Verdict::Ok);
        assert!(total_memory().unwrap() > 1 << 20);
    }
}

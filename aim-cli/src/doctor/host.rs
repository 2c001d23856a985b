//! What all volumes and mirrors of this host rely on.

use super::finding::{Section, Verdict};
use super::folder::{Folder, Kind};
use super::{clock, kernel, limits};
use crate::config::Config;
use crate::daemon::ask;
use crate::host::{self, DiskGraph};

/// Looks at this host.
pub(crate) fn examine(config: &Config, graph: &DiskGraph) -> Section {
    let mut section = Section::new("host");
    let serves_disks = !config.volumes.is_empty();
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    kernel::judge(&mut section, &release, serves_disks);
    if serves_disks {
        kernel::ask_driver(&mut section, &release);
        io_uring(&mut section);
    }
    limits::judge(&mut section, config);
    clock::judge(&mut section);
    let running = daemon(&mut section, config);
    if serves_disks {
        run_dir(&mut section, config, running);
        state_dir(&mut section, config);
    }
    for problem in host::check_placement(config, graph) {
        section.add("placement", Verdict::Problem, problem);
    }
    for warning in host::placement_warnings(config, graph) {
        section.add("placement", Verdict::Warning, warning);
    }
    section
}

fn io_uring(section: &mut Section) {
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    match setting.as_deref().map(str::trim) {
        Ok("2") => section.problem(
            "io_uring",
            "switched off for everybody (kernel.io_uring_disabled = 2)",
            "`sysctl kernel.io_uring_disabled=1`, and the same in /etc/sysctl.d: root may use it then",
        ),
        _ => section.ok("io_uring", "may be used"),
    };
}

/// Whether an aim runs.
fn daemon(section: &mut Section, config: &Config) -> bool {
    match ask(&config.socket()) {
        Ok(Some(report)) => {
            let daemon = report.daemon;
            let version = daemon.version.clone().unwrap_or_default();
            let finding = section.ok("daemon", format!("aim {version} runs"));
            finding.figure("pid", daemon.pid);
            true
        }
        Ok(None) => {
            section.ok("daemon", "no aim runs here");
            false
        }
        Err(failure) => {
            section.failed("daemon", failure);
            false
        }
    }
}

/// The staging rings are written with every request, and are of use only until a restart.
fn run_dir(section: &mut Section, config: &Config, is_running: bool) {
    let check = "run_dir";
    let Some(folder) = look(section, check, &config.run_dir) else {
        return;
    };
    let shown = folder.path.display();
    match folder.kind {
        Kind::Memory => section.ok(check, format!("{shown} is on {}", folder.file_system)),
        _ => section.warn(
            check,
            format!(
                "{shown} is on {}: each write of a volume goes there, too",
                folder.file_system
            ),
            "put it on tmpfs",
        ),
    };
    if !is_running {
        let needed: u64 = config.volumes.values().map(limits::locked_bytes).sum();
        folder.judge_room(section, check, (needed, needed), "staging memory");
    }
}

fn state_dir(section: &mut Section, config: &Config) {
    let check = "state_dir";
    if let Some(folder) = look(section, check, &config.state_dir) {
        folder.judge_durable(section, check);
        folder.judge_room(section, check, (1 << 20, 16 << 20), "an extent map");
    }
}

/// Looks at a folder, and says if that is not possible.
pub(super) fn look(
    section: &mut Section,
    check: &'static str,
    path: &std::path::Path,
) -> Option<Folder> {
    match Folder::look(path) {
        Ok(folder) => Some(folder),
        Err(error) => {
            let what = format!("{} can't be looked at: {error}", path.display());
            section.problem(
                check,
                what,
                "look whether its file system is mounted and well",
            );
            None
        }
    }
}

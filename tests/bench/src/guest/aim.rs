//! `aim run` as it is measured: capturing and sealing, with nobody to ship to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aim_bench::Plan;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Result;
use crate::process::Process;
use crate::shell::shell;

/// Where the journal disk is mounted.
const FOLDER: &str = "/mnt/aim-journal";
const CONFIG: &str = "/run/aim-bench.toml";

/// A running aim, and the file system of its journal.
#[derive(Debug)]
pub(crate) struct Aim {
    process: Process,
    program: PathBuf,
    /// Its last LSN when it was last looked at.
    captured: u64,
}

impl Aim {
    /// Begins with an empty journal.
    ///
    /// The target is taken away once it has the volume's identity. So all is captured and sealed, and
    /// kept, and nothing else is done that would be measured with it.
    pub(crate) fn start(plan: &Plan, lines: &[String]) -> Result<Self> {
        let (journal_disk, disk) = (plan.journal_disk.display(), plan.disk.display());
        let blocks = match plan.ram_disks {
            Some(sizes) => format!("{}M", sizes.journal_mib),
            None => String::new(),
        };
        shell(&format!(
            "rm -rf /run/aim-source; mkdir -p {FOLDER}
             mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 {journal_disk} {blocks}
             mount {journal_disk} {FOLDER}; mkdir {FOLDER}/journal {FOLDER}/state {FOLDER}/target"
        ))?;
        let config = format!(
            "run_dir = \"/run/aim-source\"\nstate_dir = \"{FOLDER}/state\"\n[volume.data]\ndevice = \"{disk}\"\n\
             journal = \"{FOLDER}/journal\"\ntarget = \"{FOLDER}/target\"\n\
             queues = {}\ndepth = {}\nrequest_bytes = {}\n{}\n",
            plan.queues,
            plan.depth,
            plan.request_bytes,
            lines.join("\n"),
        );
        fs::write(CONFIG, config)?;
        let program = plan.aim.display();
        shell(&format!(
            "{program} init data --assume-identical --config {CONFIG}; mv {FOLDER}/target {FOLDER}/gone"
        ))?;
        let mut command = Command::new(&plan.aim);
        command.args(["run", "--config", CONFIG]);
        let process = Process::spawn("aim", &mut command)?;
        process.until(": running version=")?;
        Ok(Self {
            process,
            program: plan.aim.clone(),
            captured: 0,
        })
    }

    /// The device's node.
    pub(crate) fn node(&self) -> Result<PathBuf> {
        Ok(fs::canonicalize(Path::new("/dev/aim/data"))?)
    }

    /// Sees that it has captured at least `writes` transactions since it was last looked at, and still
    /// captures.
    pub(crate) fn check(&mut self, writes: u64) -> Result<()> {
        let program = self.program.display();
        // its exit status tells of the target that can't be reached
        let said = shell(&format!(
            "{program} status --json --config {CONFIG} || true"
        ))?;
        let report: Value = serde_json::from_str(&said)?;
        let volume = &report["volumes"][0];
        let captured = volume["captured_lsn"].as_u64().unwrap_or(0);
        let state = volume["state"].as_str();
        let is_capturing = matches!(state, Some("running" | "retrying"));
        if !is_capturing || captured < self.captured + writes {
            let before = self.captured;
            return Err(
                format!("{writes} writes were not all captured after {before}: {volume}").into(),
            );
        }
        self.captured = captured;
        Ok(())
    }

    /// Stops it.
    pub(crate) fn end(self) -> Result<()> {
        let pid = Pid::from_raw(self.process.child.id().cast_signed()).ok_or("no process")?;
        kill_process(pid, Signal::TERM)?;
        self.process.wait()?;
        shell(&format!("umount {FOLDER}")).map(drop)
    }
}

//! The devices that are measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use aim_bench::{Kind, Plan};

use crate::Result;
use crate::aim::Aim;
use crate::drbd;
use crate::process::Process;
use crate::shell::shell;

/// What one job leaves behind for later ends within this time: a file is sealed after a second.
const REST: Duration = Duration::from_millis(1500);

/// A device that is up.
#[derive(Debug)]
pub(crate) struct Device {
    path: PathBuf,
    behind: Behind,
}

/// What serves it.
#[derive(Debug)]
enum Behind {
    Nothing,
    Program(Process),
    Aim(Aim),
    Mapper,
    Drbd,
}

impl Device {
    /// Makes it.
    pub(crate) fn start(plan: &Plan, kind: &Kind) -> Result<Self> {
        let (path, behind) = match kind {
            Kind::Raw => (plan.disk.clone(), Behind::Nothing),
            Kind::PlainLoop { zero_copy, words } => {
                let mode = if *zero_copy { "zero-copy" } else { "copy" };
                let mut command = Command::new(&plan.plain_loop);
                command.arg(&plan.disk).arg(mode);
                for (word, value) in [
                    ("--queues", u32::from(plan.queues)),
                    ("--depth", u32::from(plan.depth)),
                    ("--request-bytes", plan.request_bytes),
                ] {
                    command.arg(word).arg(value.to_string());
                }
                let process = Process::spawn("plain_loop", command.args(words))?;
                let node = process.until("/dev/ublkb")?;
                (PathBuf::from(node), Behind::Program(process))
            }
            Kind::Aim { lines } => {
                let aim = Aim::start(plan, lines)?;
                (aim.node()?, Behind::Aim(aim))
            }
            Kind::LogWrites => {
                let (disk, log) = (plan.disk.display(), plan.journal_disk.display());
                shell(&format!(
                    "dmsetup create log-writes --table \
                         \"0 $(blockdev --getsz {disk}) log-writes {disk} {log}\"
                     dmsetup mknodes"
                ))?;
                let path = PathBuf::from("/dev/mapper/log-writes");
                (path, Behind::Mapper)
            }
            Kind::Drbd => (drbd::start(plan)?, Behind::Drbd),
        };
        if matches!(behind, Behind::Program(_) | Behind::Aim(_)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            shell(&format!("echo none > /sys/block/{name}/queue/scheduler"))?;
        }
        let mut device = Self { path, behind };
        device.rest(0)?;
        Ok(device)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets what was begun come to its end, and sees that the device has done with the last `writes`
    /// what is measured.
    pub(crate) fn rest(&mut self, writes: u64) -> Result<()> {
        thread::sleep(REST);
        match &mut self.behind {
            Behind::Aim(aim) => aim.check(writes),
            Behind::Mapper => {
                let status = shell("dmsetup status log-writes")?;
                // so it says when its log is full
                match status.contains("logging_disabled") {
                    true => Err(format!("it does not log any more: {status}").into()),
                    false => Ok(()),
                }
            }
            Behind::Nothing | Behind::Program(_) | Behind::Drbd => Ok(()),
        }
    }

    /// Takes it away.
    pub(crate) fn end(self) -> Result<()> {
        match self.behind {
            Behind::Nothing => Ok(()),
            Behind::Program(process) => process.wait(),
            Behind::Aim(aim) => aim.end(),
            Behind::Drbd => drbd::end(),
            Behind::Mapper => shell("dmsetup remove log-writes").map(drop),
        }
    }
}

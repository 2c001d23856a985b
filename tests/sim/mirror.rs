//! The mirror host: its files, its disks, and the coordinator that receives and applies.

use std::sync::Arc;
use std::time::Duration;

use aim_core::cursor::MirrorCursor;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::MirrorSpool;
use aim_remote::apply::{ApplyStatus, Steps};
use aim_tests::{MemFileSystem, Power, Rng};

use crate::disks::Disks;
use crate::line::ROOT;
use crate::stop::Stop;

/// The mirror host.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Of the machine.
    pub(crate) power: Arc<Power>,
    /// Of its disks, and of the file system of its spool.
    pub(crate) disk_power: Arc<Power>,
    pub(crate) file_power: Arc<Power>,
    pub(crate) disks: Disks,
    pub(crate) files: MemFileSystem,
    steps: Option<Steps>,
    /// What it means when the power goes at the step that was chosen.
    pub(crate) stop: Option<Stop>,
    /// What was in the way last.
    pub(crate) trouble: Option<String>,
}

impl Mirror {
    /// A host with a spool for `volume`, not started.
    pub(crate) fn new(volume: &VolumeIdentity, rng: &mut Rng) -> Self {
        let power = Power::steady();
        let (disk_power, file_power) = (power.part(), power.part());
        let files = MemFileSystem::new(file_power.clone());
        MirrorSpool::create(files.folder(ROOT), volume).unwrap();
        Self {
            disks: Disks::new(volume, &disk_power, rng.next_u64()),
            power,
            disk_power,
            file_power,
            files,
            steps: None,
            stop: None,
            trouble: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.steps.is_some()
    }

    /// Starts the coordinator.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let spool = MirrorSpool::open(self.folder()).map_err(|error| error.to_string())?;
        let steps = Steps::new(spool, self.disks.as_devices(), Duration::ZERO);
        self.steps = Some(steps.map_err(|error| error.to_string())?);
        Ok(())
    }

    pub(crate) fn receive(&mut self) -> Option<Result<(), String>> {
        let steps = self.steps.as_mut()?;
        let done = steps.receive().map_err(|error| error.to_string());
        self.trouble = done.clone().err();
        Some(done)
    }

    pub(crate) fn apply(&mut self) -> Option<Result<bool, String>> {
        let steps = self.steps.as_mut()?;
        let done = steps.apply().map_err(|error| error.to_string());
        self.trouble = done.clone().err();
        Some(done)
    }

    /// How it is, while it runs.
    pub(crate) fn status(&self) -> Option<ApplyStatus> {
        self.steps.as_ref().map(Steps::status)
    }

    pub(crate) fn folder(&self) -> Arc<dyn Directory> {
        self.files.folder(ROOT)
    }

    pub(crate) fn incoming(&self) -> Arc<dyn Directory> {
        self.files.folder(format!("{ROOT}/incoming"))
    }

    /// How far it is by its cursor, if that can be read.
    pub(crate) fn cursor(&self) -> Option<MirrorCursor> {
        use aim_core::state_file::StateFile;
        MirrorCursor::load(&*self.folder()).ok().flatten()
    }

    /// The coordinator stops between two steps.
    pub(crate) fn stop_cleanly(&mut self) {
        self.steps = None;
    }

    /// The process ends where it is; the machine goes on.
    pub(crate) fn kill(&mut self) {
        self.power.cut();
        self.steps = None;
        self.power.restore();
    }

    /// The power goes, and comes back.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) {
        self.power.cut();
        self.steps = None;
        self.disks.power_cut();
        self.files.crash(rng.next_u64());
        self.power.restore();
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        self.disk_power.mend();
        self.file_power.mend();
        self.files.set_capacity(None);
    }
}

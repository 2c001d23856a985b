//! The two machines of the demo.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aim_vm::{Disk, Exit, Guest, KernelImage, Link, Prefixed, Running};

use super::PATIENCE;
use super::folder::{ADDRESSES, Folder};
use crate::cargo::workspace;
use crate::outcome::Result;

/// Size of the disk for journal files on either side, bytes.
const JOURNAL_BYTES: u64 = 256 << 20;

/// Source and mirror, running.
#[derive(Debug)]
pub(crate) struct Hosts {
    source: Option<Running>,
    mirror: Option<Running>,
    source_run: PathBuf,
    mirror_run: PathBuf,
}

impl Hosts {
    /// Starts both, linked to each other.
    pub(crate) fn start(image: &KernelImage, folder: &Folder, aim: &Path) -> Result<Self> {
        let [source_end, mirror_end] = Link::new()?.ends(ADDRESSES);
        let scripts = workspace().join("xtask/demo");
        let (source_run, mirror_run) = (folder.path().join("source"), folder.path().join("mirror"));
        let guest = |name: &str, disk: PathBuf, run: &Path| {
            let script = scripts.join(format!("{name}.sh")).display().to_string();
            Guest::new(image, ["bash".to_owned(), script])
                .name(name)
                .processors(1)
                .timeout(PATIENCE)
                .disk(Disk::File(disk))
                .disk(Disk::Scratch(JOURNAL_BYTES))
                .run_folder(run)
                .env("DEMO", &folder.path().display().to_string())
                .env("TREE", &folder.tree().display().to_string())
                .env("AIM", &aim.display().to_string())
        };
        let spawn = |guest: Guest, prefix: &str| {
            let out = Prefixed::new(prefix, io::stdout());
            guest.spawn(out, Prefixed::new(prefix, io::stderr()))
        };
        let mirror = guest("mirror", folder.mirror_disk(), &mirror_run).link(mirror_end);
        let source = guest("source", folder.source_disk(), &source_run).link(source_end);
        Ok(Self {
            mirror: Some(spawn(mirror, "mirror | ")?),
            source: Some(spawn(source, "source | ")?),
            source_run,
            mirror_run,
        })
    }

    /// A file through which source and host talk.
    pub(crate) fn source_says(&self, name: &str) -> PathBuf {
        self.source_run.join(name)
    }

    /// A file through which mirror and host talk.
    pub(crate) fn mirror_says(&self, name: &str) -> PathBuf {
        self.mirror_run.join(name)
    }

    /// Waits until a machine has made `file`.
    pub(crate) fn wait_for(&mut self, file: &Path, deadline: Instant) -> Result<()> {
        while !file.exists() {
            self.pause(deadline)?;
        }
        Ok(())
    }

    /// A moment in which the machines go on.
    ///
    /// # Errors
    ///
    /// If one of them has ended, or it is past `deadline`.
    pub(crate) fn pause(&mut self, deadline: Instant) -> Result<()> {
        thread::sleep(Duration::from_millis(100));
        for (host, name) in [(&mut self.source, "source"), (&mut self.mirror, "mirror")] {
            if let Some(running) = host.take_if(|running| running.has_ended().unwrap_or(true)) {
                return Err(
                    format!("the {name} has ended too early: {:?}", running.wait()?).into(),
                );
            }
        }
        match Instant::now() < deadline {
            true => Ok(()),
            false => Err("the demo takes too long".into()),
        }
    }

    /// Ends the source as a power failure does.
    pub(crate) fn cut_source(&mut self) -> Result<()> {
        if let Some(mut source) = self.source.take() {
            source.power_cut()?;
            source.wait()?;
        }
        Ok(())
    }

    /// Waits for the mirror's script to end.
    pub(crate) fn wait_for_mirror(&mut self) -> Result<Exit> {
        match self.mirror.take() {
            Some(mirror) => Ok(mirror.wait()?),
            None => Err("the mirror has ended before".into()),
        }
    }
}

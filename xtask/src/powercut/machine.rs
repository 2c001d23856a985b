//! A machine whose power can be cut, and which does what it is asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aim_nbd::{Cut, Image, Power, Server};
use aim_vm::{Disk, Guest, KernelImage, LinkEnd, Running};
use tempfile::TempDir;

use super::plan::Host;
use super::site::{RAW_OFFSET, Site};
use crate::cargo::workspace;

/// How long a machine may live; it is killed before, unless this program dies.
const LIFE: Duration = Duration::from_secs(4 * 3600);
/// How often is looked whether a machine has answered.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a machine has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Its power is off.
    PowerOff,
    /// It took too long; what was asked.
    Late(String),
    /// It ended by itself; its last words.
    Died(String),
    /// It answered by a failure: what was asked, the status, the output.
    Failed(String, u8, String),
    /// This host is in trouble.
    Host(Box<dyn std::error::Error + Send + Sync>),
}

/// One of the two machines: a guest and its disks, which outlive it.
#[derive(Debug)]
pub(super) struct Machine {
    host: Host,
    guest: Guest,
    running: Option<Running>,
    power: Arc<Power>,
    disks: [Server; 2],
    run: PathBuf,
    asked: u64,
    _sockets: TempDir,
}

/// A script that a machine has been asked to run.
#[derive(Debug)]
#[must_use]
pub(super) struct Asked {
    words: String,
    number: u64,
}

impl Machine {
    /// Makes it; it is off.
    pub(super) fn new(
        host: Host,
        image: &KernelImage,
        site: &Site,
        aim: &Path,
        link: LinkEnd,
    ) -> Result<Self, Trouble> {
        let name = host.name();
        let power = Power::new();
        // Not TMPDIR: the name of a socket may have no more than 107 bytes.
        let mut sockets = tempfile::Builder::new();
        let sockets = sockets.prefix("aim-nbd-").tempdir_in("/tmp")?;
        let serve =
            |image: &Path, socket: &str| Server::start(image, &sockets.path().join(socket), &power);
        let disks = [
            serve(&site.disk(name), "disk")?,
            serve(&site.spool(name), "journal")?,
        ];
        let run = site.path().join(name);
        let scripts = workspace().join("xtask/powercut");
        let shown = |path: &Path| path.display().to_string();
        let guest = Guest::new(image, ["bash".to_owned(), shown(&scripts.join("agent.sh"))])
            .name(name)
            .processors(1)
            .memory_mib(640)
            .timeout(LIFE)
            .disk(Disk::Drive(disks[0].drive()))
            .disk(Disk::Drive(disks[1].drive()))
            .link(link)
            .run_folder(&run)
            .env("AIM", &shown(aim))
            .env("SITE", &shown(site.path()))
            .env("SCRIPTS", &shown(&scripts))
            .env("RAW_OFFSET", &RAW_OFFSET.to_string());
        Ok(Self {
            host,
            guest,
            running: None,
            power,
            disks,
            run,
            asked: 0,
            _sockets: sockets,
        })
    }

    pub(super) fn power(&self) -> &Power {
        &self.power
    }

    /// The disk that is mirrored, or mirrors.
    pub(super) fn disk(&self) -> &Image {
        self.disks[0].image()
    }

    /// A file through which machine and host talk; it outlives the machine.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// Switches it on. What it is asked it does when it has booted.
    pub(super) fn boot(&mut self) -> Result<(), Trouble> {
        for folder in ["todo", "done"] {
            let path = self.run.join(folder);
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            fs::create_dir_all(&path)?;
        }
        fs::create_dir_all(self.run.join("acks"))?;
        self.asked = 0;
        self.power.restore();
        let running = self.guest.clone().spawn(io::sink(), io::sink());
        self.running = Some(running.map_err(|error| Trouble::Host(error.into()))?);
        Ok(())
    }

    /// Has a script of the shell run, while this goes on.
    pub(super) fn ask(&mut self, script: &str) -> Result<Asked, Trouble> {
        self.asked += 1;
        let folder = self.run.join("todo");
        let new = folder.join("new");
        fs::write(&new, script)?;
        fs::rename(&new, folder.join(self.asked.to_string()))?;
        Ok(Asked {
            words: script.to_owned(),
            number: self.asked,
        })
    }

    /// What became of it: its output, if its status was 0.
    pub(super) fn answer(&self, asked: &Asked, patience: Duration) -> Result<String, Trouble> {
        let done = self.run.join("done").join(asked.number.to_string());
        let deadline = Instant::now() + patience;
        while !done.exists() {
            if self.power.wait_off(PAUSE) {
                return Err(Trouble::PowerOff);
            }
            if let Some(running) = &self.running
                && running.has_ended().unwrap_or(true)
            {
                return Err(Trouble::Died(self.host.name().to_owned()));
            }
            if Instant::now() > deadline {
                let words = format!("the {} within {patience:?}", self.host.name());
                return Err(Trouble::Late(format!("{}, {words}", asked.words)));
            }
        }
        let status = fs::read_to_string(&done)?.trim().parse().unwrap_or(255);
        let said = fs::read(done.with_extension("log"))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match status {
            0 => Ok(said),
            _ => Err(Trouble::Failed(asked.words.clone(), status, said)),
        }
    }

    /// Has a script run and waits for its answer.
    pub(super) fn shell(&mut self, script: &str, patience: Duration) -> Result<String, Trouble> {
        let asked = self.ask(script)?;
        self.answer(&asked, patience)
    }

    /// The power goes, if it has not; the disks keep what `cuts` say. Says what became of them.
    pub(super) fn cut(&mut self, cuts: [Cut; 2]) -> Result<String, Trouble> {
        self.power.cut();
        if let Some(mut running) = self.running.take() {
            let killed = running.power_cut().and_then(|()| running.wait());
            killed.map_err(|error| Trouble::Host(error.into()))?;
        }
        let mut words = Vec::new();
        for ((disk, cut), name) in self.disks.iter().zip(cuts).zip(["disk", "journal"]) {
            let left = disk.power_cut(cut)?;
            let (newest, older, lost) = (left.newest, left.older, left.lost);
            words.push(format!("{name} {newest}/{older}/{lost}"));
        }
        Ok(words.join(", "))
    }

    /// Ends it for good, with everything on its disks that it wrote.
    pub(super) fn end(&mut self) -> Result<(), Trouble> {
        self.cut([Cut::KeepsAll; 2]).map(drop)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Host(error.into())
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the power is off"),
            Self::Late(words) => write!(f, "no answer from {words}"),
            Self::Died(name) => write!(f, "the {name} died by itself; see its console.log"),
            Self::Failed(words, status, said) => {
                write!(f, "`{words}` ended with {status}:\n{}", said.trim_end())
            }
            Self::Host(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}

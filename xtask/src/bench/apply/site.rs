//! The journals, the file that they are applied to, and what applies them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use super::turn::{Load, said_by};
use crate::cargo;
use crate::outcome::Result;
use crate::progress::step;

/// A folder with all that a run needs; gone at its end.
#[derive(Debug)]
pub(super) struct Site {
    folder: TempDir,
    sealer: PathBuf,
    applier: PathBuf,
    bytes: u64,
}

/// Sealed files, and the same writes for fio.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) folder: PathBuf,
    pub(super) log: PathBuf,
    /// Of each of them.
    pub(super) write_bytes: u64,
}

/// What parsing and verifying alone takes, and other work on the same bytes; in memory.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Verified {
    pub(super) bytes: u64,
    pub(super) verify_seconds: f64,
    pub(super) copy_seconds: f64,
    pub(super) hash_seconds: f64,
}

impl Site {
    pub(super) fn new(parent: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(parent)?;
        let folder = TempDir::new_in(parent.canonicalize()?)?;
        let site = Self {
            folder,
            sealer: cargo::build_example("aim-core", "sealed_writes")?,
            applier: cargo::build_example("aim-core", "apply_files")?,
            bytes,
        };
        // written, so that nobody has to allocate
        let mut target = File::create(site.target())?;
        io::copy(&mut io::repeat(0x5a).take(bytes), &mut target)?;
        target.sync_all()?;
        Ok(site)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn applier(&self) -> &Path {
        &self.applier
    }

    /// The file that all write to.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join("mirror.img")
    }

    /// What was written before a turn is on the disk, and nothing of the file in the page cache.
    pub(super) fn prepare(&self) -> Result<()> {
        rustix::fs::sync();
        let target = File::open(self.target())?;
        rustix::fs::fadvise(&target, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    /// An empty folder for a cursor.
    pub(super) fn fresh_state(&self) -> Result<PathBuf> {
        let state = self.folder.path().join("state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir(&state)?;
        Ok(state)
    }

    /// Files with all the writes of a load, sealed by the writer that captures use.
    pub(super) fn seal(&self, load: Load) -> Result<Journal> {
        let (len, order) = load.writes();
        step(&format!(
            "sealing {} MiB of {}",
            self.bytes >> 20,
            load.name()
        ));
        let journal = Journal {
            folder: self.folder.path().join(order),
            log: self.folder.path().join(format!("{order}.log")),
            write_bytes: len,
        };
        let mut sealer = Command::new(&self.sealer);
        sealer.args([&journal.folder, &journal.log]);
        sealer.args([&self.bytes.to_string(), &len.to_string(), order]);
        sealer.arg(self.bytes.to_string());
        said_by(&mut sealer)?;
        Ok(journal)
    }

    /// Parses and verifies them only.
    pub(super) fn verify(&self, journal: &Journal) -> Result<Verified> {
        let mut verifier = Command::new(&self.applier);
        verifier.arg(&journal.folder);
        Ok(serde_json::from_str(&said_by(&mut verifier)?)?)
    }
}

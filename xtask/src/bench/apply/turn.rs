//! Who writes, and what.

use std::fs::{self, File};
use std::process::Command;

use serde_json::Value;

use super::site::{Journal, Site};
use crate::outcome::Result;

/// What the files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Small,
    Large,
}

impl Load {
    pub(super) const ALL: [Self; 2] = [Self::Small, Self::Large];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Small => "4k random",
            Self::Large => "128k sequential",
        }
    }

    /// Bytes of a write, and where the next one goes.
    pub(super) const fn writes(self) -> (u64, &'static str) {
        match self {
            Self::Small => (4 << 10, "random"),
            Self::Large => (128 << 10, "sequential"),
        }
    }
}

/// One who does all the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Aim,
    FioDirect,
    FioCached,
    /// Only in a guest.
    ReplayLog,
}

/// Who took how many seconds.
pub(super) type Turn = (Tool, f64);

impl Tool {
    pub(super) const ALL: [Self; 4] =
        [Self::Aim, Self::FioDirect, Self::FioCached, Self::ReplayLog];
    pub(super) const ON_THE_HOST: [Self; 3] = [Self::Aim, Self::FioDirect, Self::FioCached];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::FioDirect => "fio, O_DIRECT, depth 32",
            Self::FioCached => "fio, page cache",
            Self::ReplayLog => "replay-log",
        }
    }

    /// One turn; gives the seconds from the first write, with its preparation, to the end of the sync.
    pub(super) fn run(self, site: &Site, journal: &Journal) -> Result<f64> {
        let words = match self {
            Self::Aim => return apply(site, journal),
            Self::FioDirect => ["--direct=1", "--ioengine=io_uring", "--iodepth=32"],
            Self::FioCached => ["--direct=0", "--ioengine=psync", "--iodepth=1"],
            Self::ReplayLog => return Err("replay-log runs in a guest".into()),
        };
        site.prepare()?;
        let target = site.target();
        let mut fio = Command::new("fio");
        fio.args(["--name=apply", "--output-format=json"])
            .arg("--replay_no_stall=1")
            .arg(format!("--replay_redirect={}", target.display()))
            .arg(format!("--filename={}", target.display()))
            .arg(format!("--read_iolog={}", journal.log.display()))
            .args(words);
        let said = said_by(&mut fio)?;
        // it may say something before
        let json = said.find('{').map_or("", |start| &said[start..]);
        let said: Value = serde_json::from_str(json)?;
        let job = &said["jobs"][0];
        let written = job["write"]["io_bytes"].as_u64().unwrap_or(0);
        // those that are under way when the log ends are waited for, and not counted
        if site.bytes().saturating_sub(written) >= 32 * journal.write_bytes {
            return Err(format!("fio wrote {written} of {} bytes", site.bytes()).into());
        }
        let millis = job["job_runtime"].as_f64();
        Ok(millis.ok_or("fio does not say how long it took")? / 1e3)
    }
}

fn apply(site: &Site, journal: &Journal) -> Result<f64> {
    // files that were received a moment ago are in the page cache
    for file in fs::read_dir(journal.folder.join("outgoing"))? {
        std::io::copy(&mut File::open(file?.path())?, &mut std::io::sink())?;
    }
    site.prepare()?;
    let state = site.fresh_state()?;
    let mut aim = Command::new(site.applier());
    aim.arg(&journal.folder).arg(site.target()).arg(state);
    let said: Value = serde_json::from_str(&said_by(&mut aim)?)?;
    let written = said["bytes"].as_u64();
    if written != Some(site.bytes()) {
        return Err(format!("aim applied {written:?} of {} bytes", site.bytes()).into());
    }
    Ok(said["seconds"].as_f64().ok_or("no time is said")?)
}

/// What a program that succeeds says on stdout.
pub(super) fn said_by(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

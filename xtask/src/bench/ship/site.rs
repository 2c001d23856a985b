//! What is shipped, where it goes, and the keys.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::server;
use crate::keys;
use crate::outcome::Result;
use crate::progress::step;

/// The cipher of everybody: the fastest that all of them have.
pub(super) const CIPHER: &str = "aes128-gcm@openssh.com";

/// Where files in memory are, so that no disk is measured.
const MEMORY: &str = "/dev/shm";

/// A folder with all that a run needs; gone at its end.
#[derive(Debug)]
pub(super) struct Site {
    folder: TempDir,
    programs: Programs,
    file_bytes: u64,
    /// The account on the server: our own.
    pub(super) user: String,
}

/// Examples that are built for it.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// Seals files.
    pub(super) sealer: PathBuf,
    /// Ships them.
    pub(super) shipper: PathBuf,
}

/// What the sealed files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing that compression could make smaller.
    Random,
    /// Words and numbers.
    Text,
}

impl Content {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Text => "text",
        }
    }
}

/// Sealed files.
#[derive(Clone, Debug)]
pub(super) struct Cargo {
    /// The journal folder that they are in.
    pub(super) journal: PathBuf,
    pub(super) files: Vec<PathBuf>,
    /// Of all of them.
    pub(super) bytes: u64,
}

impl Site {
    pub(super) fn new(parent: Option<&Path>, programs: Programs, file_bytes: u64) -> Result<Self> {
        let memory = Path::new(MEMORY);
        let folder = match parent {
            Some(parent) => TempDir::new_in(parent)?,
            None if memory.is_dir() => TempDir::new_in(memory)?,
            None => TempDir::new()?,
        };
        keys::make_keys(folder.path(), "none")?;
        server::configure(folder.path())?;
        fs::create_dir(folder.path().join("far"))?;
        let output = Command::new("id").arg("-un").output()?;
        Ok(Self {
            folder,
            programs,
            file_bytes,
            user: String::from_utf8(output.stdout)?.trim().to_owned(),
        })
    }

    pub(super) fn shipper(&self) -> &Path {
        &self.programs.shipper
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the server known under this port.
    pub(super) fn know(&self, port: u16) -> Result<()> {
        let key = fs::read_to_string(self.path("host_key.pub"))?;
        let line = format!("[127.0.0.1]:{port} {key}");
        Ok(fs::write(self.path("known_hosts"), line)?)
    }

    /// Files with so many bytes of payload, sealed by the writer that captures use.
    pub(super) fn seal(&self, content: Content, bytes: u64) -> Result<Cargo> {
        let journal = self.path(&format!("{}-{bytes}", content.word()));
        if !journal.exists() {
            step(&format!(
                "sealing {} MiB of {}",
                bytes >> 20,
                content.word()
            ));
            let sealed = Command::new(&self.programs.sealer)
                .arg(&journal)
                .args([&bytes.to_string(), content.word()])
                .arg(self.file_bytes.to_string())
                .output()?;
            if !sealed.status.success() {
                return Err(String::from_utf8_lossy(&sealed.stderr).into());
            }
        }
        let (files, bytes) = files_in(&journal.join("outgoing"))?;
        Ok(Cargo {
            journal,
            files,
            bytes,
        })
    }

    /// The server's folder, empty but for the folder that files arrive in.
    pub(super) fn clear(&self) -> Result<PathBuf> {
        let far = self.path("far");
        fs::remove_dir_all(&far)?;
        fs::create_dir_all(far.join("incoming"))?;
        Ok(far)
    }

    /// Makes sure that all of it has arrived, byte for byte where `in_full`. A tool that packs
    /// leaves as many files, of another size.
    pub(super) fn check(&self, cargo: &Cargo, is_packed: bool, in_full: bool) -> Result<()> {
        let (found, bytes) = files_in(&self.path("far").join("incoming"))?;
        let is_whole = match is_packed {
            true => found.len() == cargo.files.len(),
            false => bytes == cargo.bytes,
        };
        if !is_whole {
            let count = found.len();
            return Err(format!("{count} files with {bytes} bytes have arrived").into());
        }
        if in_full && !is_packed && !same_bytes(&cargo.files, &found)? {
            return Err("something else has arrived".into());
        }
        Ok(())
    }
}

/// The files in a folder by name, and their bytes.
fn files_in(folder: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let mut files = Vec::new();
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += entry.metadata()?.len();
        files.push(entry.path());
    }
    files.sort();
    Ok((files, bytes))
}

/// Whether two lists of files hold the same, one file after the other.
fn same_bytes(ours: &[PathBuf], theirs: &[PathBuf]) -> Result<bool> {
    let digest = |files: &[PathBuf]| -> Result<Vec<u8>> {
        let mut all = Command::new("sha256sum")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        let mut stdin = all.stdin.take().ok_or("no pipe")?;
        for file in files {
            std::io::copy(&mut File::open(file)?, &mut stdin)?;
        }
        drop(stdin);
        let mut told = Vec::new();
        all.stdout.take().ok_or("no pipe")?.read_to_end(&mut told)?;
        all.wait()?;
        Ok(told)
    };
    Ok(digest(ours)? == digest(theirs)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_arrived_whole_is_noticed() {
        let site = Site::new(None, Programs::default(), 1).unwrap();
        let ours = site.path("ours");
        fs::create_dir(&ours).unwrap();
        let texts = ["one", "two"];
        for text in texts {
            fs::write(ours.join(text), text).unwrap();
        }
        let (files, bytes) = files_in(&ours).unwrap();
        let cargo = Cargo {
            journal: ours,
            files,
            bytes,
        };
        let arrive = |name: &str, text: &str| {
            fs::write(site.path("far/incoming").join(name), text).unwrap();
        };
        site.clear().unwrap();
        arrive("one", "one");
        assert!(site.check(&cargo, false, false).is_err());
        assert!(site.check(&cargo, true, false).is_err());
        arrive("two", "tw0");
        site.check(&cargo, true, true).unwrap();
        site.check(&cargo, false, false).unwrap();
        assert!(site.check(&cargo, false, true).is_err());
        // in one file it is the same
        site.clear().unwrap();
        arrive("all", "onetwo");
        site.check(&cargo, false, true).unwrap();
    }
}

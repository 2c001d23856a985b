//! Packages fetched from Debian's archive without touching the machine's own apt state.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output_of;
use crate::error::{Doing, VmError};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where the kernels are; the machine's own release does not matter.
pub(crate) const SUITES: [&str; 3] = ["trixie", "trixie-security", "trixie-backports"];

/// A private apt: own lists and cache under one folder, the machine's mirror and keyring.
#[derive(Debug)]
pub(crate) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Brings the lists of [`SUITES`] up to date under `folder`.
    pub(crate) fn update(folder: &Path) -> Result<Self, VmError> {
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part)).doing("create", folder.join(part))?;
        }
        let sources = folder.join("sources.list");
        fs::write(&sources, sources_list(&own_archives()?)).doing("write", &sources)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let options = vec![
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::Cache={}", folder.display()),
            "APT::Architecture=amd64".to_owned(),
            // the cache folder may be one that the user _apt cannot enter
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        let apt = Self { options };
        output_of(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    /// The versions of `package` in all suites, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<Version>, VmError> {
        let table = output_of(self.command("apt-cache").args(["madison", package]))?;
        let table = String::from_utf8_lossy(&table);
        let line = |line: &str| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let number = cells.next()?.to_owned();
            let suite = cells
                .next()?
                .split_whitespace()
                .nth(1)?
                .split('/')
                .next()?
                .to_owned();
            Some(Version { number, suite })
        };
        Ok(table.lines().filter_map(line).collect())
    }

    /// The names of the packages that `package` depends on, without versions.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>, VmError> {
        let record = output_of(self.command("apt-cache").args(["show", package]))?;
        let record = String::from_utf8_lossy(&record);
        let depends = record
            .lines()
            .find_map(|line| line.strip_prefix("Depends:"));
        let name = |word: &str| word.split_whitespace().next().map(str::to_owned);
        Ok(depends
            .unwrap_or_default()
            .split([',', '|'])
            .filter_map(name)
            .collect())
    }

    /// Downloads and unpacks `packages` into `folder`.
    pub(crate) fn unpack(&self, packages: &[String], folder: &Path) -> Result<(), VmError> {
        let archives = folder.join("deb");
        fs::create_dir_all(&archives).doing("create", &archives)?;
        let mut download = self.command("apt-get");
        output_of(
            download
                .current_dir(&archives)
                .args(["-qq", "download"])
                .args(packages),
        )?;
        for entry in fs::read_dir(&archives).doing("list", &archives)? {
            let archive = entry.doing("list", &archives)?.path();
            output_of(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
        }
        fs::remove_dir_all(&archives).doing("remove", &archives)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// One version of a package and the suite that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: String,
    pub(crate) suite: String,
}

/// Where this machine's own apt gets Debian and, if it does, Debian's security updates.
#[derive(Debug, PartialEq, Eq)]
struct Archives {
    debian: String,
    security: Option<String>,
}

fn own_archives() -> Result<Archives, VmError> {
    let format = "--format=$(LABEL)|$(REPO_URI)";
    let list = || output_of(Command::new("apt-get").args(["indextargets", format]));
    if let Some(found) = archives_in(&String::from_utf8_lossy(&list()?)) {
        return Ok(found);
    }
    // An image whose lists were cleaned away names no targets until they are fetched again.
    output_of(Command::new("apt-get").args(["-qq", "update"]))?;
    archives_in(&String::from_utf8_lossy(&list()?)).ok_or(VmError::NoArchive)
}

fn archives_in(targets: &str) -> Option<Archives> {
    let labelled = |label: &str| {
        let mut pairs = targets.lines().filter_map(|line| line.split_once('|'));
        pairs
            .find(|(found, _)| *found == label)
            .map(|(_, address)| address.to_owned())
    };
    Some(Archives {
        debian: labelled("Debian")?,
        security: labelled("Debian-Security"),
    })
}

fn sources_list(archives: &Archives) -> String {
    let signed = if PathBuf::from(KEYRING).exists() {
        format!(" [signed-by={KEYRING}]")
    } else {
        String::new()
    };
    let line = |suite: &&str| {
        let address = match (suite.ends_with("-security"), &archives.security) {
            (true, security) => security.as_ref()?,
            (false, _) => &archives.debian,
        };
        Some(format!("deb{signed} {address} {suite} main\n"))
    };
    SUITES.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_known_by_their_label() {
        let found =
            archives_in("Other|http://a/x/\nDebian|http://b/y/\n").expect("Debian is there");
        assert_eq!(
            found,
            Archives {
                debian: "http://b/y/".to_owned(),
                security: None
            }
        );
        assert_eq!(archives_in("Debian-Security|http://c/z/"), None);
    }

    #[test]
    fn suites_without_an_archive_are_left_out() {
        let archives = Archives {
            debian: "http://b/y/".to_owned(),
            security: None,
        };
        let list = sources_list(&archives);
        assert_eq!(list.lines().count(), 2);
        assert!(!list.contains("security"), "{list}");
    }
}

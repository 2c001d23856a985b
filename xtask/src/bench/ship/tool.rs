//! Those who carry files, each as its manual says for many files over a line that is no trouble.

use std::fs;
use std::process::{Command, Stdio};

use super::site::{CIPHER, Cargo, Site};
use crate::outcome::Result;

/// How hard aim packs where it does.
const LEVEL: &str = "3";

/// Someone who carries files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Aim,
    AimPacked,
    Scp,
    ScpPacked,
    Sftp,
    Rsync,
    RsyncPacked,
    Cat,
}

impl Tool {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::AimPacked => "aim, zstd 3",
            Self::Scp => "scp",
            Self::ScpPacked => "scp -C",
            Self::Sftp => "sftp",
            Self::Rsync => "rsync -W",
            Self::RsyncPacked => "rsync -W -z",
            Self::Cat => "cat | ssh cat",
        }
    }

    /// Whether what it brings are files of another size.
    pub(super) fn leaves_packed(self) -> bool {
        self == Self::AimPacked
    }

    /// Whether it is one of those that aim is compared with.
    pub(super) fn is_other(self) -> bool {
        !matches!(self, Self::Aim | Self::AimPacked)
    }

    /// What has it carry all of `cargo` to the far `incoming/`.
    pub(super) fn command(self, site: &Site, cargo: &Cargo, port: u16) -> Result<Command> {
        let to = site.path("far").join("incoming");
        let place = format!("{}@127.0.0.1:{}/", site.user, to.display());
        let mut command = match self {
            Self::Aim | Self::AimPacked => self.aim(site, cargo, port),
            Self::Scp | Self::ScpPacked => {
                let mut command = Command::new("scp");
                command.args(["-q", "-P", &port.to_string()]);
                if self == Self::ScpPacked {
                    command.arg("-C");
                }
                command.args(options(site)).args(&cargo.files).arg(place);
                command
            }
            Self::Sftp => {
                let batch = site.path("batch");
                let words = cargo.files.iter();
                let lines = words.map(|file| format!("put {} {}/\n", file.display(), to.display()));
                fs::write(&batch, lines.collect::<String>())?;
                let mut command = Command::new("sftp");
                command
                    .args(["-q", "-P", &port.to_string(), "-b"])
                    .arg(batch);
                command
                    .args(options(site))
                    .arg(format!("{}@127.0.0.1", site.user));
                command
            }
            Self::Rsync | Self::RsyncPacked => {
                let mut command = Command::new("rsync");
                let ssh = format!("ssh -p {port} {}", options(site).join(" "));
                command.args(["--whole-file", "-e", &ssh]);
                if self == Self::RsyncPacked {
                    command.arg("--compress");
                }
                command.args(&cargo.files).arg(place);
                command
            }
            Self::Cat => {
                let script = format!(
                    "cat \"$@\" | ssh -p {port} {} {}@127.0.0.1 'cat >{}/all'",
                    options(site).join(" "),
                    site.user,
                    to.display()
                );
                let mut command = Command::new("sh");
                command.args(["-c", &script, "cat"]).args(&cargo.files);
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Ok(command)
    }

    fn aim(self, site: &Site, cargo: &Cargo, port: u16) -> Command {
        let far = site.path("far");
        let target = format!("ssh://{}@127.0.0.1:{port}{}", site.user, far.display());
        let mut command = Command::new(site.shipper());
        command.arg("put").arg(&cargo.journal).arg(target).args([
            format!("key={}", site.path("user_key").display()),
            format!("known_hosts={}", site.path("known_hosts").display()),
        ]);
        if self == Self::AimPacked {
            command.arg(format!("compression={LEVEL}"));
        }
        command
    }
}

/// What ssh and its kin are told.
fn options(site: &Site) -> Vec<String> {
    let mut words = vec!["-F".to_owned(), "none".to_owned()];
    for option in [
        format!("IdentityFile={}", site.path("user_key").display()),
        format!("UserKnownHostsFile={}", site.path("known_hosts").display()),
        format!("Ciphers={CIPHER}"),
        "IdentitiesOnly=yes".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "BatchMode=yes".to_owned(),
    ] {
        words.extend(["-o".to_owned(), option]);
    }
    words
}

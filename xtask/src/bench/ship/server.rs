//! An OpenSSH server, one process for each connection, whose time is known to the microsecond.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::acceptor::Acceptor;
use super::process;
use super::site::CIPHER;
use crate::outcome::Result;

/// Listens for `sshd -i`.
#[derive(Debug)]
pub(super) struct Server {
    acceptor: Acceptor,
    /// Connections that are not accounted for.
    sessions: Arc<Mutex<Vec<Child>>>,
    log: PathBuf,
}

/// Writes the server's configuration into the folder of its keys.
pub(super) fn configure(folder: &Path) -> Result<()> {
    let at = folder.display();
    // as a package sets it up, but for logins without PAM and the one cipher
    let text = format!(
        "HostKey {at}/host_key\nAuthorizedKeysFile {at}/user_key.pub\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nCiphers {CIPHER}\nCompression yes\n\
         Subsystem sftp internal-sftp\n"
    );
    fs::write(folder.join("sshd_config"), text)?;
    // where its unprivileged half lives; the package's service makes it on a full system
    match fs::create_dir_all("/run/sshd") {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error.into()),
        _ => Ok(()),
    }
}

impl Server {
    /// Starts one with what [`configure`] has written.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let sessions = Arc::<Mutex<Vec<Child>>>::default();
        let (config, log) = (folder.join("sshd_config"), folder.join("sshd.log"));
        let (started, path) = (Arc::clone(&sessions), log.clone());
        let serve = move |client: TcpStream| {
            // whoever waits for their end is to see this one
            let mut sessions = started.lock().unwrap_or_else(PoisonError::into_inner);
            let client = OwnedFd::from(client);
            let session = Command::new("/usr/sbin/sshd")
                .args(["-i", "-e", "-f"])
                .arg(&config)
                .stdin(Stdio::from(client.try_clone()?))
                .stdout(Stdio::from(client))
                .stderr(File::options().create(true).append(true).open(&path)?)
                .spawn()?;
            sessions.push(session);
            Ok(())
        };
        Ok(Self {
            acceptor: Acceptor::start(serve)?,
            sessions,
            log,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.acceptor.port()
    }

    /// What it says in its log.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for the end of all connections, and gives the time that they took since the last
    /// call.
    pub(super) fn usage(&self) -> io::Result<Duration> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let times = sessions.drain(..).map(|session| process::wait(&session));
        // whether they ended well their clients tell
        times.map(|ended| ended.map(|(_, time)| time)).sum()
    }
}

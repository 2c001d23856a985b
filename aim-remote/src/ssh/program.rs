//! The user's own `ssh` as the maker of the connection.

use std::ffi::OsString;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;

use super::process::Process;
use super::said;
use super::target::{SshProgram, SshTarget};
use crate::transport::TransportError;

/// How long a program that is going to end may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the program, once for each stream.
pub(super) struct Program {
    target: SshTarget,
    program: SshProgram,
    /// Here, and not with the streams: a task that is stuck writing to one ends only when its
    /// process does.
    processes: Mutex<Vec<Arc<Process>>>,
}

impl Program {
    pub(super) fn new(target: &SshTarget, program: &SshProgram) -> Self {
        Self {
            target: target.clone(),
            program: program.clone(),
            processes: Mutex::default(),
        }
    }

    /// Starts the program. Whether it gets anywhere shows on the stream.
    pub(super) fn sftp_stream(&self) -> Result<UnixStream, TransportError> {
        let mut command = Command::new(&self.program.path);
        command.args(arguments(&self.target, &self.program));
        // its messages are read by a program too
        command.env("LC_ALL", "C");
        let start = || {
            let (process, stream) = Process::start(command)?;
            stream.set_nonblocking(true)?;
            Ok((process, UnixStream::from_std(stream)?))
        };
        let (process, stream) = start().map_err(|error: std::io::Error| {
            let place = self.program.path.display().to_string();
            let reason = format!("can't be run: {error}");
            TransportError::Refused { place, reason }
        })?;
        let mut processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // one that has ended has nothing to say of the streams there are now
        processes.retain(|process| !process.has_ended());
        processes.push(Arc::new(process));
        Ok(stream)
    }

    /// Puts what the program said of a lost connection in the place of what its stream told.
    pub(super) async fn explain(&self, error: TransportError) -> TransportError {
        let TransportError::ConnectionLost { reason, .. } = &error else {
            return error;
        };
        let processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut ended = processes.iter().find(|process| process.has_ended());
        if let (None, Some(last)) = (ended, processes.last()) {
            // its stream may end a little before it does
            ended = last.ends_within(LAST_WORDS).await.then_some(last);
        }
        if let Some(process) = ended {
            return said::meaning(&self.target, &process.said(), reason);
        }
        error
    }
}

/// The command line: as `sftp` calls it, with nobody there to answer questions, and with the
/// host keys that are known and no others.
fn arguments(target: &SshTarget, program: &SshProgram) -> Vec<OsString> {
    let seconds = |time: Duration| time.as_secs().max(1).to_string();
    let keepalive = seconds(target.timeouts.keepalive);
    let connect = seconds(target.timeouts.connect);
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(config) = &program.config {
        arguments.extend(["-F".into(), config.into()]);
    }
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        &format!("ServerAliveInterval={keepalive}"),
        "ServerAliveCountMax=3",
        &format!("ConnectTimeout={connect}"),
        "ConnectionAttempts=1",
        // one that others share would outlive this process, and its end not be noticed
        "ControlMaster=no",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "RequestTTY=no",
        "ForkAfterAuthentication=no",
        "StdinNull=no",
        "LogLevel=ERROR",
    ] {
        arguments.extend(["-o".into(), option.into()]);
    }
    if let Some(port) = target.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    arguments.extend(["-l".into(), OsString::from(&target.user)]);
    // what begins with a dash is a host from here on
    arguments.extend(["-s", "--", &target.host, "sftp"].map(OsString::from));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Timeouts, Way};

    #[test]
    fn nobody_is_asked_and_no_host_is_an_option() {
        let program = SshProgram {
            path: "/usr/bin/ssh".into(),
            config: Some("/etc/aim/ssh_config".into()),
        };
        let target = SshTarget {
            host: "-oProxyCommand=evil".to_owned(),
            port: Some(2222),
            user: "aim".to_owned(),
            way: Way::Program(program.clone()),
            timeouts: Timeouts::default(),
        };
        let line = arguments(&target, &program);
        let line: Vec<_> = line.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(line[..2], ["-F", "/etc/aim/ssh_config"]);
        let end = [
            "-p",
            "2222",
            "-l",
            "aim",
            "-s",
            "--",
            "-oProxyCommand=evil",
            "sftp",
        ];
        assert!(line.ends_with(&end), "{line:?}");
        for option in ["BatchMode=yes", "StrictHostKeyChecking=yes"] {
            assert!(line.windows(2).any(|pair| pair == ["-o", option]));
        }
    }
}

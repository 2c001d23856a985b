//! The control socket: one line of JSON asks, one line answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::exit::Exit;
use crate::failure::{Outcome, Problem};

/// Longest request line.
const REQUEST_BYTES_MAX: u64 = 4096;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A peer that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    Status,
}

/// Answers on the socket, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Opens the socket. The run lock must be held: a socket that is there already is a leftover.
    pub(crate) fn start(
        path: PathBuf,
        report: impl Fn() -> Report + Send + Sync + 'static,
    ) -> Outcome<Self> {
        let listener = listen(&path).map_err(|error| {
            Problem::new("can't open the control socket")
                .at(path.display())
                .io(&error)
        })?;
        let report = Arc::new(report);
        let started = std::thread::Builder::new()
            .name("aim-control".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    let served = stream.and_then(|stream| serve(&stream, &*report));
                    if let Err(error) = served {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                }
            });
        match started {
            Ok(_) => Ok(Self { path }),
            Err(error) => Err(Problem::new("can't start a thread").io(&error)),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // a leftover is removed at the next start
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(stream: &UnixStream, report: &dyn Fn() -> Report) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let mut answer = match serde_json::from_str(&line) {
        Ok(Request::Status) => serde_json::to_string(&report())?,
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
    };
    answer.push('\n');
    let mut stream = stream;
    stream.write_all(answer.as_bytes())
}

/// Asks the daemon behind `path` how it is; `None` if none is there.
pub(crate) fn ask(path: &Path) -> Outcome<Option<Report>> {
    match converse(path) {
        Ok(report) => Ok(Some(report)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            io::ErrorKind::PermissionDenied => Err(Problem::new("may not ask the daemon")
                .at(path.display())
                .hint("run as the user that `aim run` runs as, usually root")
                .exit(Exit::Auth)),
            _ => Err(Problem::new("the daemon does not answer")
                .at(path.display())
                .hint("its log says more; is it of the same version?")
                .io(&error)),
        },
    }
}

fn converse(path: &Path) -> io::Result<Report> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(&Request::Status)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::super::report::{DaemonReport, State, VolumeReport};
    use super::*;

    #[test]
    fn a_question_is_answered_and_a_leftover_socket_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.sock");
        assert_eq!(ask(&path), Ok(None));
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(ask(&path), Ok(None));

        let report = Report {
            daemon: DaemonReport {
                running: true,
                pid: Some(7),
                version: None,
            },
            volumes: vec![VolumeReport {
                name: "data".to_owned(),
                state: State::Running,
                captured_lsn: Some(u64::MAX),
                ..VolumeReport::default()
            }],
            mirrors: Vec::new(),
        };
        let told = report.clone();
        let control = Control::start(path.clone(), move || told.clone()).unwrap();
        assert_eq!(ask(&path), Ok(Some(report)));
        drop(control);
        assert!(!path.exists());
    }

    #[test]
    fn nonsense_gets_an_error_and_does_no_harm() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.sock");
        let _control = Control::start(path.clone(), Report::default).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"request\":\"dance\"}\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("unknown variant `dance`"), "{answer}");
        assert_eq!(ask(&path), Ok(Some(Report::default())));
    }
}

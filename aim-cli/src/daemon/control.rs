//! The control socket: one line of JSON asks, one line answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::report::Report;
use super::request::Request;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, Problem};

/// Longest request line.
const REQUEST_BYTES_MAX: u64 = 4096;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A peer that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A new program file is tried before it is executed.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(120);

/// What the daemon does when it is asked.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Answers a request, or says why not.
    fn answer(&self, request: &Request) -> Result<Value, String>;

    /// Hands over to the program file; returns only where something is in the way.
    fn hand_over(&self) -> Failure;
}

/// Answers on the socket, on a thread of its own, until it is dropped: whoever is being answered
/// then is answered first.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    answering: Arc<Mutex<()>>,
}

impl Control {
    /// Opens the socket. The run lock must be held: a socket that is there already is a leftover.
    pub(crate) fn start(path: PathBuf, answers: impl Answers) -> Outcome<Self> {
        let listener = listen(&path).map_err(|error| {
            Problem::new("can't open the control socket")
                .at(path.display())
                .io(&error)
        })?;
        let answering = Arc::new(Mutex::new(()));
        let started = std::thread::Builder::new().name("aim-control".to_owned());
        let started = started.spawn({
            let answering = Arc::clone(&answering);
            move || {
                for stream in listener.incoming() {
                    let served = stream.and_then(|stream| serve(&stream, &answers, &answering));
                    if let Err(error) = served {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                }
            }
        });
        match started {
            Ok(_) => Ok(Self { path, answering }),
            Err(error) => Err(Problem::new("can't start a thread").io(&error)),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // a leftover is removed at the next start
        let _ = std::fs::remove_file(&self.path);
        // a connection that ends without an answer says that everything was handed over
        drop(lock(&self.answering));
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

fn serve(stream: &UnixStream, answers: &dyn Answers, answering: &Mutex<()>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let _answering = lock(answering);
    let answer = match serde_json::from_str(&line) {
        // otherwise the connection ends with this program
        Ok(Request::Upgrade) => answers.hand_over().to_json(),
        Ok(request) => answered(answers.answer(&request)),
        Err(error) => answered(Err(error.to_string())),
    };
    let mut stream = stream;
    stream.write_all(format!("{answer}\n").as_bytes())
}

/// Asks the daemon behind `path` how it is; `None` if none is there.
pub(crate) fn ask(path: &Path) -> Outcome<Option<Report>> {
    order(path, &Request::Status)
}

/// Asks the daemon behind `path` for something; `None` if none is there.
pub(crate) fn order<T: DeserializeOwned>(path: &Path, request: &Request) -> Outcome<Option<T>> {
    match converse(path, request, PATIENCE).and_then(|answer| understood(&answer)) {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(refused)) => Err(Problem::new("the daemon refuses")
            .at(path.display())
            .because(&refused)
            .exit(Exit::Degraded)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(no_answer(path, &error)),
    }
}

/// What the daemon gives as the reason for no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

fn answered(answer: Result<Value, String>) -> String {
    let answer = answer.unwrap_or_else(|error| serde_json::json!({ "error": error }));
    answer.to_string()
}

fn understood<T: DeserializeOwned>(answer: &str) -> io::Result<Result<T, Refused>> {
    let answer: Value = serde_json::from_str(answer)?;
    if let Some(Value::String(error)) = answer.get("error") {
        return Ok(Err(Refused(error.clone())));
    }
    Ok(Ok(serde_json::from_value(answer)?))
}

/// Has the daemon behind `path` hand over to its program file. Returns when the old program has
/// ended; `false` if none is there.
///
/// # Errors
///
/// What is in the way, in the daemon's words.
pub(crate) fn hand_over(path: &Path) -> Outcome<bool> {
    match converse(path, &Request::Upgrade, HANDOVER_PATIENCE) {
        Ok(answer) if answer.is_empty() => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(no_answer(path, &error)),
        Ok(answer) => Err(Failure::from_json(&answer).unwrap_or_else(|| {
            let mut problem = Problem::new("the daemon can't be upgraded").at(path.display());
            problem.causes.push(answer.trim().to_owned());
            problem
                .hint("is it of an older version? stop it, and start the new one")
                .exit(Exit::Failed)
        })),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn no_answer(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Problem::new("may not ask the daemon")
            .at(path.display())
            .hint("run as the user that `aim run` runs as, usually root")
            .exit(Exit::Auth);
    }
    Problem::new("the daemon does not answer")
        .at(path.display())
        .hint("its log says more; is it of the same version?")
        .io(error)
}

fn converse(path: &Path, request: &Request, patience: Duration) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::report::{DaemonReport, State, VolumeReport};
    use super::*;

    struct Told(Report);

    impl Answers for Told {
        fn answer(&self, request: &Request) -> Result<Value, String> {
            match request {
                Request::Status => serde_json::to_value(&self.0).map_err(|error| error.to_string()),
                other => Err(format!("not now: {other:?}")),
            }
        }

        fn hand_over(&self) -> Failure {
            Problem::new("not now").at("here").exit(Exit::Busy)
        }
    }

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
                started: None,
            },
            volumes: vec![VolumeReport {
                name: "data".to_owned(),
                state: State::Running,
                captured_lsn: Some(u64::MAX),
                ..VolumeReport::default()
            }],
            mirrors: Vec::new(),
        };
        let control = Control::start(path.clone(), Told(report.clone())).unwrap();
        assert_eq!(ask(&path), Ok(Some(report)));
        let volume = "data".to_owned();
        let verify = Request::Verify {
            volume,
            target: None,
        };
        let refused = order::<Report>(&path, &verify).unwrap_err();
        assert_eq!(refused.exit, Exit::Degraded);
        assert!(refused.to_string().contains("not now: Verify"), "{refused}");
        let refused = hand_over(&path).unwrap_err();
        assert_eq!(refused, Told(Report::default()).hand_over());
        drop(control);
        assert!(!path.exists());
        assert_eq!(hand_over(&path), Ok(false));
    }

    #[test]
    fn nonsense_gets_an_error_and_does_no_harm() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.sock");
        let _control = Control::start(path.clone(), Told(Report::default())).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"request\":\"dance\"}\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("unknown variant `dance`"), "{answer}");
        assert_eq!(ask(&path), Ok(Some(Report::default())));
    }

    /// Answers once it may.
    struct Slow {
        asked: mpsc::SyncSender<()>,
        may: Mutex<mpsc::Receiver<()>>,
        order: mpsc::Sender<&'static str>,
    }

    impl Answers for Slow {
        fn answer(&self, _: &Request) -> Result<Value, String> {
            self.asked.send(()).unwrap();
            self.may.lock().unwrap().recv().unwrap();
            self.order.send("answered").unwrap();
            Err("not now".to_owned())
        }

        fn hand_over(&self) -> Failure {
            Problem::new("never").exit(Exit::Failed)
        }
    }

    #[test]
    fn whoever_is_being_answered_is_answered_before_the_end() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.sock");
        let (asked, was_asked) = mpsc::sync_channel(0);
        let (go, may) = mpsc::channel();
        let (order, came) = mpsc::channel();
        let slow = Slow {
            asked,
            may: Mutex::new(may),
            order: order.clone(),
        };
        let control = Control::start(path.clone(), slow).unwrap();
        std::thread::scope(|scope| {
            let client = scope.spawn(|| ask(&path));
            was_asked.recv().unwrap();
            scope.spawn(move || {
                drop(control);
                order.send("ended").unwrap();
            });
            while path.exists() {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            assert_eq!(came.recv(), Ok("answered"));
            assert_eq!(came.recv(), Ok("ended"));
            assert!(client.join().unwrap().is_err());
        });
    }
}

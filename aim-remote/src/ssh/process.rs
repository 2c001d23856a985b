//! A running program that carries a byte stream.
//!
//! A thread for each takes what it says on stderr, and reaps it when it ends: no process is left
//! over, whatever becomes of the runtime that uses the stream.

use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::sync::watch;
use tokio::time::timeout;

/// What is kept of stderr: its last bytes.
const SAID_BYTES_MAX: usize = 4096;

/// A process, in a group of its own with whatever it starts: a Ctrl-C at our terminal is not for
/// them, and dropping this ends them all.
#[derive(Debug)]
pub(super) struct Process {
    life: Arc<Life>,
    ended: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Life {
    /// The leader, until it is reaped: after that the number may be another's.
    leader: Mutex<Option<Pid>>,
    said: Mutex<Vec<u8>>,
}

impl Process {
    /// Starts a program with one end of a socket as its stdin and stdout; returns the other.
    pub(super) fn start(mut command: Command) -> io::Result<(Self, UnixStream)> {
        // first, so that there is never a process without it
        let (hand_over, handed_over) = mpsc::channel::<Attendant>();
        thread::Builder::new()
            .name("aim-ssh".to_owned())
            .spawn(move || {
                if let Ok(attendant) = handed_over.recv() {
                    attendant.run();
                }
            })?;
        let (near, far) = UnixStream::pair()?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(far.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(far)))
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        // it holds the far end too: while that is open here, the stream would not end
        drop(command);
        let life = Arc::new(Life {
            leader: Mutex::new(Some(Pid::from_child(&child))),
            said: Mutex::default(),
        });
        let (sender, ended) = watch::channel(false);
        let attendant = Attendant {
            child,
            life: Arc::clone(&life),
            ended: sender,
        };
        let process = Self { life, ended };
        hand_over.send(attendant).map_err(io::Error::other)?;
        Ok((process, near))
    }

    /// Whether it has ended, and been reaped.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Whether it ends within this time.
    pub(super) async fn ends_within(&self, limit: Duration) -> bool {
        let mut ended = self.ended.clone();
        // the sender goes only after it has said so
        timeout(limit, ended.wait_for(|ended| *ended)).await.is_ok()
    }

    /// The end of what it has said on stderr so far.
    pub(super) fn said(&self) -> Vec<u8> {
        lock(&self.life.said).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.life.end();
    }
}

impl Life {
    /// Kills the whole group, unless it is gone.
    fn end(&self) {
        if let Some(leader) = *lock(&self.leader) {
            // it has the members that there are; none is no trouble
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    fn hear(&self, bytes: &[u8]) {
        let mut said = lock(&self.said);
        said.extend_from_slice(bytes);
        let excess = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..excess);
    }
}

/// What the thread has.
struct Attendant {
    child: Child,
    life: Arc<Life>,
    ended: watch::Sender<bool>,
}

impl Attendant {
    fn run(mut self) {
        if let Err(error) = self.listen() {
            tracing::warn!(%error, "can't watch the ssh program: it is ended");
        }
        // what it started ends with it
        self.life.end();
        let mut leader = lock(&self.life.leader);
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "can't reap the ssh program");
        }
        *leader = None;
        drop(leader);
        self.ended.send_replace(true);
    }

    /// Takes what it says until it ends. Others may have its stderr too, and for longer.
    fn listen(&mut self) -> io::Result<()> {
        let end = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let mut stderr = self.child.stderr.take();
        if let Some(stderr) = &stderr {
            rustix::io::ioctl_fionbio(stderr, true)?;
        }
        loop {
            let mut watched = vec![PollFd::new(&end, PollFlags::IN)];
            watched.extend(
                stderr
                    .as_ref()
                    .map(|stderr| PollFd::new(stderr, PollFlags::IN)),
            );
            match poll(&mut watched, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let has_ended = !watched[0].revents().is_empty();
            stderr = match stderr {
                Some(pipe) => self.drain(pipe),
                None => None,
            };
            if has_ended {
                return Ok(());
            }
        }
    }

    /// Takes all that is there; `None` at the end.
    fn drain(&self, mut pipe: ChildStderr) -> Option<ChildStderr> {
        let mut buffer = [0; SAID_BYTES_MAX];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return None,
                Ok(len) => self.life.hear(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(pipe),
                Err(_) => return None,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

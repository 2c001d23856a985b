//! A guest that has been started.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

use crate::error::{Doing, VmError};
use crate::guest::Guest;
use crate::image::STAGE2;
use crate::kernel::cache_folder;
use crate::link::LinkEnd;
use crate::qemu::{self, Machine, Places};
use crate::stream::Stream;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command ended with this status and the guest went down in order.
    Status(u8),
    /// It was still running at the end of its time and was killed.
    TimedOut,
    /// The guest ended without the command's status: killed, crashed or never up. Holds the end of
    /// what QEMU and the kernel's console said.
    Died(String),
}

impl Exit {
    /// The exit status for a program that stands for the command: its own, 124 for
    /// [`Exit::TimedOut`], 125 for [`Exit::Died`].
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Status(status) => *status,
            Self::TimedOut => 124,
            Self::Died(_) => 125,
        }
    }
}

/// A running guest; killed when this is dropped, or when the thread that started it ends.
#[derive(Debug)]
pub struct Running {
    child: Child,
    streams: Vec<Stream>,
    run: PathBuf,
    deadline: Instant,
    // Removed when the guest has ended; `None` if the caller keeps the run folder.
    _folders: (TempDir, Option<TempDir>),
    // The cables must not be taken away under a running guest.
    _links: Vec<LinkEnd>,
}

impl Running {
    pub(crate) fn start(
        guest: Guest,
        machine: Machine,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Result<Self, VmError> {
        let (run, kept) = run_folder(&guest)?;
        for stale in ["status", "ready", "console.log"] {
            let path = run.join(stale);
            if path.exists() {
                fs::remove_file(&path).doing("remove", &path)?;
            }
        }
        let write = |name: &str, text: &str| {
            let path = run.join(name);
            fs::write(&path, text).doing("write", path)
        };
        write("stage2", STAGE2)?;
        write("guest.conf", &guest.settings())?;
        write("command", &guest.script())?;

        // Not TMPDIR: the name of a socket may have no more than 107 bytes.
        let sockets = tempfile::Builder::new()
            .prefix("aim-vm-")
            .tempdir_in("/tmp");
        let sockets = sockets.doing("create a folder in", "/tmp")?;
        let streams = vec![
            Stream::listen(&sockets.path().join("out"), stdout)?,
            Stream::listen(&sockets.path().join("err"), stderr)?,
        ];
        let places = Places {
            run: &run,
            sockets: sockets.path(),
        };
        let log_path = run.join("qemu.log");
        let log = fs::File::create(&log_path).doing("create", &log_path)?;
        let also = log.try_clone().doing("open", &log_path)?;
        let child = qemu::command(&guest, machine, places)?
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(|source| VmError::Start {
                program: "qemu".to_owned(),
                source,
            })?;
        let deadline = Instant::now() + guest.timeout;
        Ok(Self {
            child,
            streams,
            run,
            deadline,
            _folders: (sockets, kept),
            _links: guest.links,
        })
    }

    /// Its run folder on the host; `/run/vm` in the guest.
    #[must_use]
    pub fn run_folder(&self) -> &Path {
        &self.run
    }

    /// Kills it as a power cut would: at once, nothing is flushed, nobody is told.
    ///
    /// # Errors
    ///
    /// [`VmError::Io`] if QEMU could not be killed.
    pub fn power_cut(&mut self) -> Result<(), VmError> {
        self.child.kill().doing("kill the QEMU of", &self.run)
    }

    /// True if it is not running any more.
    ///
    /// # Errors
    ///
    /// [`VmError::Io`] if QEMU's state can't be seen.
    pub fn has_ended(&self) -> Result<bool, VmError> {
        self.poll_end(Instant::now())
            .doing("look at the QEMU of", &self.run)
    }

    /// Waits for its end, at most as long as it may live.
    ///
    /// Everything that the command wrote has been passed on when this returns.
    ///
    /// # Errors
    ///
    /// [`VmError::Io`] if its output could not be passed on.
    pub fn wait(mut self) -> Result<Exit, VmError> {
        let in_time = self
            .poll_end(self.deadline)
            .doing("wait for the QEMU of", &self.run)?;
        if !in_time {
            self.power_cut()?;
        }
        self.child.wait().doing("wait for the QEMU of", &self.run)?;
        for stream in self.streams.drain(..) {
            stream.finish()?;
        }
        // The file is the truth: QEMU's own status is the same however the guest went down.
        let status = fs::read_to_string(self.run.join("status")).unwrap_or_default();
        Ok(match status.trim().parse() {
            Ok(status) => Exit::Status(status),
            Err(_) if !in_time => Exit::TimedOut,
            Err(_) => Exit::Died(self.last_words()),
        })
    }

    /// True if it has ended by `deadline`.
    fn poll_end(&self, deadline: Instant) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else {
            return Ok(true);
        };
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            });
            let mut polled = [PollFd::new(&process, PollFlags::IN)];
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn last_words(&self) -> String {
        let mut words = String::new();
        for log in ["qemu.log", "console.log"] {
            let bytes = fs::read(self.run.join(log)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(30)..] {
                words.push_str(line);
                words.push('\n');
            }
        }
        words
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_folder(guest: &Guest) -> Result<(PathBuf, Option<TempDir>), VmError> {
    if let Some(folder) = &guest.run_folder {
        fs::create_dir_all(folder).doing("create", folder)?;
        return Ok((folder.canonicalize().doing("find", folder)?, None));
    }
    // On the disk of the build, not in /tmp: scratch disks may be larger than memory.
    let runs = cache_folder().join("runs");
    fs::create_dir_all(&runs).doing("create", &runs)?;
    let folder = TempDir::new_in(&runs).doing("create a folder in", &runs)?;
    let path = folder.path().canonicalize().doing("find", folder.path())?;
    Ok((path, Some(folder)))
}

//! The command's stdout and stderr on their way out of the guest.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::error::{Doing, VmError};

/// One stream: a socket that QEMU connects to, copied to a writer by a thread of its own.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: PathBuf,
    copier: JoinHandle<io::Result<()>>,
}

impl Stream {
    /// Listens at `socket`, a path of at most 107 bytes.
    pub(crate) fn listen<W>(socket: &Path, mut to: W) -> Result<Self, VmError>
    where
        W: Write + Send + 'static,
    {
        let listener = UnixListener::bind(socket).doing("listen at", socket)?;
        let copier = std::thread::spawn(move || {
            let (from, _) = listener.accept()?;
            copy(from, &mut to)
        });
        Ok(Self {
            socket: socket.to_owned(),
            copier,
        })
    }

    /// Waits until everything has been copied. Call after QEMU's end only.
    pub(crate) fn finish(self) -> Result<(), VmError> {
        // If QEMU died before it connected, this connection ends the wait for it; else it stays
        // behind QEMU's in the queue and is never looked at.
        drop(UnixStream::connect(&self.socket));
        let copied = self
            .copier
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        copied.doing("pass on the output from", &self.socket)?;
        fs::remove_file(&self.socket).doing("remove", &self.socket)
    }
}

/// Copies piece by piece, each passed on at once.
fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return to.flush(),
            Ok(length) => {
                to.write_all(&piece[..length])?;
                to.flush()?;
            }
            // a killed QEMU may leave a reset instead of an end
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return to.flush(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts a word before each line, so that the outputs of several guests can share a terminal.
///
/// A line is passed on when it is whole; the rest when this is dropped.
#[derive(Debug)]
pub struct Prefixed<W: Write> {
    prefix: String,
    line: Vec<u8>,
    to: W,
}

impl<W: Write> Prefixed<W> {
    /// Puts `prefix` before each line that goes to `to`.
    pub fn new(prefix: &str, to: W) -> Self {
        Self {
            prefix: prefix.to_owned(),
            line: Vec::new(),
            to,
        }
    }
}

impl<W: Write> Write for Prefixed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = [self.prefix.as_bytes(), &self.line].concat();
                self.line.clear();
                self.to.write_all(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for Prefixed<W> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            // Nobody is left to tell of a failure.
            let _ = self.write(b"\n");
            let _ = self.to.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_prefix_once() {
        let mut shown = Vec::new();
        let mut prefixed = Prefixed::new("a | ", &mut shown);
        for piece in ["on", "e\ntwo\nth", "ree"] {
            prefixed
                .write_all(piece.as_bytes())
                .expect("memory takes it");
        }
        drop(prefixed);
        assert_eq!(
            String::from_utf8_lossy(&shown),
            "a | one\na | two\na | three\n"
        );
    }
}

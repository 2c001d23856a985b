//! What a transport is tried with, and what it leads to.

use std::fs;
use std::path::{Path, PathBuf};

use aim_core::fs::HostDirectory;
use aim_remote::file_io::{FileIo, Source};
use aim_remote::transport::{Transport, TransportError};
use tempfile::TempDir;

use super::MIB;

/// Makes transports to directories, and the server behind them if there is one. What lies there is
/// reached past the transport, too.
pub(super) trait Far {
    type Transport: Transport;
    /// What is sent at least before a pause, and gone on with.
    const PIECE: usize = MIB;
    fn start() -> Self;
    fn transport(&self, directory: &Path) -> Self::Transport;

    /// A transport to where nobody may write, and what that is called.
    fn forbidden(&self, _: &Path) -> (Self::Transport, &'static str) {
        // not even root creates files in a file system of terminals
        (self.transport(Path::new("/dev/pts")), "/dev/pts")
    }

    fn plant(&self, directory: &Path, name: &str, content: &[u8]) {
        fs::write(directory.join(name), content).unwrap();
    }

    fn content(&self, directory: &Path, name: &str) -> Option<Vec<u8>> {
        fs::read(directory.join(name)).ok()
    }

    /// Changes when the file is written again.
    fn stamp(&self, directory: &Path, name: &str) -> String {
        let modified = fs::metadata(directory.join(name)).unwrap().modified();
        format!("{:?}", modified.unwrap())
    }

    /// What a put says where there is no room.
    fn is_full(error: &TransportError) -> bool {
        matches!(error, TransportError::NoSpace { .. })
    }
}

/// A transport to an empty directory with `incoming/`, and files to put there.
pub(super) struct Case<F: Far> {
    pub(super) far: F,
    pub(super) directory: TempDir,
    pub(super) files: TempDir,
    pub(super) io: FileIo,
}

impl<F: Far> Case<F> {
    pub(super) fn new(io: FileIo) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("incoming")).unwrap();
        Self {
            far: F::start(),
            directory,
            files: tempfile::tempdir().unwrap(),
            io,
        }
    }

    pub(super) fn transport(&self) -> F::Transport {
        self.far.transport(self.directory.path())
    }

    pub(super) fn source(&self, content: &[u8]) -> Source {
        self.named_source("source", content)
    }

    pub(super) fn named_source(&self, name: &str, content: &[u8]) -> Source {
        fs::write(self.files.path().join(name), content).unwrap();
        let folder = HostDirectory::open(self.files.path()).unwrap();
        self.io.open(&*folder, name).unwrap()
    }

    pub(super) fn far_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn plant(&self, name: &str, content: &[u8]) {
        self.far.plant(self.directory.path(), name, content);
    }

    pub(super) fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.far.content(self.directory.path(), name)
    }

    pub(super) fn stamp(&self, name: &str) -> String {
        self.far.stamp(self.directory.path(), name)
    }
}

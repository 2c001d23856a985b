//! Transports to folders: on this host, and over SSH.

use std::path::Path;

use aim_core::fs::HostDirectory;
use aim_remote::transport::{LocalTransport, SftpTransport};

use super::case::Far;
use crate::sshd::Sshd;

pub(super) struct Local;

impl Far for Local {
    type Transport = LocalTransport;

    fn start() -> Self {
        Self
    }

    fn transport(&self, directory: &Path) -> LocalTransport {
        LocalTransport::new(directory)
    }
}

/// The same files through the seam that folders in memory are behind, without a runtime.
pub(super) struct InPlace;

impl Far for InPlace {
    type Transport = LocalTransport;

    fn start() -> Self {
        Self
    }

    fn transport(&self, directory: &Path) -> LocalTransport {
        let root = directory.to_owned();
        LocalTransport::in_place(directory, move |folder| {
            Ok(HostDirectory::open(root.join(folder))?)
        })
    }
}

pub(super) struct InternalSftp(Sshd);

impl Far for InternalSftp {
    type Transport = SftpTransport;

    fn start() -> Self {
        Self(Sshd::start())
    }

    fn transport(&self, directory: &Path) -> SftpTransport {
        self.0.transport(directory)
    }
}

pub(super) struct SftpServer(Sshd);

impl Far for SftpServer {
    type Transport = SftpTransport;

    fn start() -> Self {
        Self(Sshd::with_subsystem("/usr/lib/openssh/sftp-server"))
    }

    fn transport(&self, directory: &Path) -> SftpTransport {
        self.0.transport(directory)
    }
}

/// The same server behind the user's own `ssh`.
pub(super) struct ByProgram(Sshd);

impl Far for ByProgram {
    type Transport = SftpTransport;

    fn start() -> Self {
        Self(Sshd::start())
    }

    fn transport(&self, directory: &Path) -> SftpTransport {
        let directory = directory.to_str().unwrap();
        SftpTransport::new(self.0.target_by_program(), directory)
    }
}

//! Connections that break in the middle of a file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aim_remote::file_io::{self, Source};
use aim_remote::ssh::{SshTarget, Timeouts};
use aim_remote::transport::{Remedy, SftpTransport, Transport, TransportError};

use crate::behaviour::{bytes, put};
use crate::site::eventually;
use crate::sshd::{Fault, Sshd};

const FILE_BYTES: usize = 24 << 20;
/// Past what is in flight, so that some of it has been acknowledged.
const MIDDLE: usize = 20 << 20;

/// Who makes the connection.
#[derive(Clone, Copy)]
enum Way {
    BuiltIn,
    Program,
}

struct Case {
    sshd: Sshd,
    way: Way,
    directory: tempfile::TempDir,
    content: Vec<u8>,
}

impl Case {
    fn new(way: Way) -> Self {
        Self {
            sshd: Sshd::start(),
            way,
            directory: tempfile::tempdir().unwrap(),
            content: bytes(FILE_BYTES, 7),
        }
    }

    fn target(&self) -> SshTarget {
        match self.way {
            Way::BuiltIn => self.sshd.target(),
            Way::Program => self.sshd.target_by_program(),
        }
    }

    fn transport(&self) -> SftpTransport {
        SftpTransport::new(self.target(), path(self.directory.path()))
    }

    fn source(&self) -> Source {
        Source::from_bytes("source", self.content.as_slice())
    }

    fn far(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// The same transport goes on by itself, and sends only what was not there yet.
    async fn goes_on(&self, transport: &SftpTransport) {
        assert!(!self.far("a.aim").exists());
        let stored = put(transport, "a.aim", &self.source()).await.unwrap();
        assert!(stored.reused > 1 << 20, "{stored:?}");
        assert_eq!(fs::read(self.far("a.aim")).unwrap(), self.content);
        assert!(!self.far("a.aim.part").exists());
        if let Way::Program = self.way {
            // that of the broken connection is gone, and that of the new one is not
            eventually("one ssh is left", || self.sshd.ssh_processes().len() == 1);
        }
    }
}

fn a_cut_line_is_noticed_and_the_file_continued(way: Way) {
    let case = Case::new(way);
    let transport = case.transport();
    case.sshd.break_next(Fault::CutAfter(MIDDLE));
    file_io::run(|_| async move {
        let cut = put(&transport, "a.aim", &case.source()).await.unwrap_err();
        assert!(
            matches!(cut, TransportError::ConnectionLost { .. }),
            "{cut}"
        );
        assert_eq!(cut.remedy(), Remedy::Retry);
        case.goes_on(&transport).await;
    })
    .unwrap();
}

fn a_killed_server_is_noticed_and_the_file_continued(way: Way) {
    let case = Case::new(way);
    let transport = case.transport();
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    file_io::run(|_| async move {
        let source = case.source();
        let upload = put(&transport, "a.aim", &source);
        let kill = tokio::task::spawn_blocking({
            let sshd = case.sshd;
            move || {
                sshd.wait_for_fault();
                sshd.kill_sessions();
                sshd
            }
        });
        let (cut, sshd) = tokio::join!(upload, kill);
        let cut = cut.unwrap_err();
        assert!(
            matches!(cut, TransportError::ConnectionLost { .. }),
            "{cut}"
        );
        let case = Case {
            sshd: sshd.unwrap(),
            way: case.way,
            directory: case.directory,
            content: case.content,
        };
        case.goes_on(&transport).await;
    })
    .unwrap();
}

fn a_frozen_peer_is_given_up_in_the_middle_of_an_upload(way: Way) {
    let case = Case::new(way);
    let mut target = case.target();
    target.timeouts = Timeouts {
        progress: Duration::from_secs(1),
        // that of the ssh program would end it, too
        keepalive: Duration::from_secs(3600),
        ..Timeouts::default()
    };
    let transport = SftpTransport::new(target, path(case.directory.path()));
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    file_io::run(|_| async move {
        let frozen = put(&transport, "a.aim", &case.source()).await.unwrap_err();
        assert!(matches!(frozen, TransportError::Timeout { .. }), "{frozen}");
        assert_eq!(frozen.remedy(), Remedy::Retry);
        case.goes_on(&transport).await;
    })
    .unwrap();
}

fn an_idle_connection_that_was_killed_is_replaced(way: Way) {
    let case = Case::new(way);
    let transport = case.transport();
    file_io::run(|_| async move {
        transport.list("").await.unwrap();
        case.sshd.kill_sessions();
        let mut listed = transport.list("").await;
        if listed.is_err() {
            listed = transport.list("").await;
        }
        listed.unwrap();
    })
    .unwrap();
}

macro_rules! both_ways {
    ($($test:ident),*) => {
        mod built_in {
            $(#[test] fn $test() { super::$test(super::Way::BuiltIn); })*
        }
        mod program {
            $(#[test] fn $test() { super::$test(super::Way::Program); })*
        }
    };
}

both_ways! {
    a_cut_line_is_noticed_and_the_file_continued,
    a_killed_server_is_noticed_and_the_file_continued,
    a_frozen_peer_is_given_up_in_the_middle_of_an_upload,
    an_idle_connection_that_was_killed_is_replaced
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

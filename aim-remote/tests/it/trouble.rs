//! What goes wrong in the middle of files, and how shipping goes on by itself.
//!
//! Four files are on their way at once, each on a channel of one connection to a real server; in
//! the end the mirror holds all of them, whatever came between.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aim_core::format::Kind;
use aim_core::fs::HostDirectory;
use aim_remote::file_io;
use aim_remote::ship::{ShipError, Shipper};
use aim_remote::transport::{Remedy, SftpTransport, TransportError};

use crate::behaviour::{bytes, put};
use crate::site::{Site, eventually};
use crate::sshd::{Fault, Sshd};

const FILES: usize = 4;
const FILE_BYTES: u64 = 8 << 20;
/// In the middle of all of them, past what is in flight: some of it has been acknowledged.
const MIDDLE: usize = 20 << 20;

struct Case {
    sshd: Sshd,
    site: Site,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut site = Site::new(seed);
        let write = (Kind::Write, 0, 512 << 10);
        let writes = vec![write; (FILE_BYTES / write.2) as usize];
        for _ in 0..FILES {
            let file = site.series.next_file_of(&writes);
            site.add(file);
        }
        Self {
            sshd: Sshd::start(),
            site,
        }
    }

    fn transport(&self) -> SftpTransport {
        self.sshd.transport(self.site.directory.path())
    }

    fn ship(&self) -> Shipper {
        self.site.ship_over(self.transport())
    }

    fn incoming(&self) -> std::path::PathBuf {
        self.site.directory.path().join("incoming")
    }

    /// Waits for a trouble of the transport, and gives what it says.
    fn trouble(&self, shipper: &Shipper, is_it: impl Fn(&TransportError) -> bool) -> String {
        let mut said = None;
        eventually("it is said", || {
            let trouble = shipper.status().trouble;
            said = trouble.and_then(|trouble| match &*trouble.error {
                ShipError::Transport(error) if is_it(error) => Some(trouble.message()),
                _ => None,
            });
            said.is_some()
        });
        // nothing goes here before it is there
        let waiting = self.site.source().outgoing().unwrap().files.len();
        assert_eq!(waiting, FILES);
        said.unwrap()
    }

    /// Shipping goes on, with no more than was missing: nothing that was there is sent again.
    fn goes_on(&self, shipper: &Shipper) {
        let applier = self.site.apply();
        self.site.wait_until_equal(shipper, &applier);
        let rejected = applier.status().last_rejected;
        assert_eq!(rejected, None);
        let all: usize = (self.site.files.iter())
            .map(|file| self.site.bytes(file).len())
            .sum();
        let sent = shipper.status().sent_bytes as usize;
        // what was in flight, and not acknowledged, goes a second time
        assert!(sent <= all, "{sent} of {all} bytes were acknowledged");
    }
}

#[test]
fn a_line_that_is_cut() {
    let case = Case::new(60);
    case.sshd.break_next(Fault::CutAfter(MIDDLE));
    let shipper = case.ship();
    case.sshd.wait_for_fault();
    case.goes_on(&shipper);
    assert!(case.sshd.connections() >= 2);
}

#[test]
fn a_server_that_is_killed() {
    let case = Case::new(61);
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    let shipper = case.ship();
    case.sshd.wait_for_fault();
    assert!(shipper.status().trouble.is_none());
    case.sshd.kill_sessions();
    case.goes_on(&shipper);
}

/// The server lives, and its host answers: only that nothing comes back tells that it is frozen.
#[test]
fn a_server_that_is_frozen() {
    let case = Case::new(62);
    let mut target = case.sshd.target();
    target.timeouts.progress = Duration::from_secs(1);
    let directory = case.site.directory.path().to_str().unwrap();
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    let shipper = (case.site).ship_over(SftpTransport::new(target, directory));
    case.sshd.wait_for_fault();
    case.sshd.stop_sessions();
    case.sshd.thaw();
    let said = case.trouble(&shipper, |error| {
        matches!(error, TransportError::Timeout { .. }) && error.remedy() == Remedy::Retry
    });
    assert!(said.contains("did not answer for 1 s while"), "{said}");
    case.goes_on(&shipper);
}

#[test]
fn a_disk_that_is_full() {
    let case = Case::new(63);
    let disk = Mounted::tmpfs(&case.incoming(), "20m");
    let shipper = case.ship();
    let said = case.trouble(&shipper, |error| {
        matches!(error, TransportError::NoSpace { .. }) && error.remedy() == Remedy::Operator
    });
    assert!(said.contains("no space left for"), "{said}");
    assert!(said.contains("bytes are free"), "{said}");
    // it stays said until there is room
    eventually("it was tried again", || {
        let trouble = shipper.status().trouble;
        trouble.is_some_and(|trouble| trouble.attempts > 2)
    });
    disk.resize("200m");
    case.goes_on(&shipper);
}

#[test]
fn a_folder_that_is_not_ours_any_more() {
    let case = Case::new(64);
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    let shipper = case.ship();
    case.sshd.wait_for_fault();
    // not even root may name a file in it
    let folder = Immutable::make(&case.incoming());
    case.sshd.thaw();
    let said = case.trouble(&shipper, |error| {
        matches!(error, TransportError::PermissionDenied { .. })
    });
    let path = case.incoming().display().to_string();
    assert!(
        said.contains("permission denied") && said.contains(&path),
        "{said}"
    );
    drop(folder);
    case.goes_on(&shipper);
}

#[test]
fn a_host_key_that_is_another_one_after_the_line_was_cut() {
    let case = Case::new(65);
    case.sshd.break_next(Fault::FreezeAfter(MIDDLE));
    let shipper = case.ship();
    case.sshd.wait_for_fault();
    // of the right kind: the server offers another one than is recorded
    case.sshd.authorize("other", "ed25519", "");
    case.sshd.record_host_key("other");
    case.sshd.kill_sessions();
    let said = case.trouble(&shipper, |error| {
        matches!(error, TransportError::HostKeyChanged { .. }) && error.remedy() == Remedy::Operator
    });
    assert!(said.contains("known_hosts, line 1"), "{said}");
    assert!(said.contains("SHA256:"), "{said}");
    case.sshd.record_host_key("host_ed25519");
    case.goes_on(&shipper);
}

/// A server that grants fewer channels than are wanted, down to one.
#[test]
fn few_channels_are_enough() {
    for most in ["1", "2", "3"] {
        let case = Case::new(66);
        case.sshd.configure(&format!("MaxSessions {most}"));
        let shipper = case.ship();
        case.goes_on(&shipper);
        assert_eq!(case.sshd.connections(), 1);
    }
}

#[test]
fn the_fastest_cipher_is_taken() {
    let case = Case::new(67);
    case.sshd.configure("LogLevel DEBUG1");
    let shipper = case.ship();
    case.goes_on(&shipper);
    let log = case.sshd.log();
    let chosen = log
        .lines()
        .find(|line| line.contains("kex: client->server cipher:"));
    let chosen = chosen.unwrap_or_else(|| panic!("{log}"));
    assert!(
        chosen.contains("cipher: aes128-gcm@openssh.com"),
        "{chosen}"
    );
}

/// Keys are exchanged anew in the middle of files.
#[test]
fn more_than_a_gibibyte_on_one_connection() {
    const BYTES: usize = 560 << 20;
    let sshd = Sshd::start();
    sshd.configure("LogLevel DEBUG1");
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let piece = bytes(BYTES / 8, 69);
    let mut file = fs::File::create(near.path().join("file")).unwrap();
    (0..8).for_each(|_| file.write_all(&piece).unwrap());
    let transport = sshd.transport(far.path());
    file_io::run(|io| async move {
        let folder = HostDirectory::open(near.path()).unwrap();
        let source = io.open(&*folder, "file").unwrap();
        let (a, b) = tokio::join!(put(&transport, "a", &source), put(&transport, "b", &source));
        assert_eq!(a.unwrap().sent + b.unwrap().sent, 2 * BYTES as u64);
        for name in ["a", "b"] {
            let (ours, theirs) = (near.path().join("file"), far.path().join(name));
            let same = Command::new("cmp").args([ours, theirs]).status().unwrap();
            assert!(same.success());
        }
    })
    .unwrap();
    assert_eq!(sshd.connections(), 1);
    let exchanges = sshd.log().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(exchanges > 1, "{}", sshd.log());
}

/// A tmpfs of a given size. Mounting takes root, which tests of a block device have anyway.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, size: &str) -> Self {
        let options = format!("size={size}");
        run("mount", &["-t", "tmpfs", "-o", &options, "aim-test"], at);
        Self(at.to_owned())
    }

    fn resize(&self, size: &str) {
        run("mount", &["-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.0);
    }
}

/// A folder in which no name can be made or changed.
struct Immutable(std::path::PathBuf);

impl Immutable {
    fn make(folder: &Path) -> Self {
        run("chattr", &["+i"], folder);
        Self(folder.to_owned())
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        run("chattr", &["-i"], &self.0);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

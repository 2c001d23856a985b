//! An account that may only use SFTP, locked in its directory: all that a mirror host has to
//! give. docs/operations.md shows how it is set up.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aim_remote::file_io::{self, Source};
use aim_remote::ssh::SshTarget;
use aim_remote::transport::{SftpTransport, Transport, TransportError};
use tempfile::TempDir;

use crate::behaviour::{bytes, name, put};
use crate::sshd::Sshd;

/// An account of every system, which has no shell.
const ACCOUNT: &str = "nobody";
const ACCOUNT_ID: u32 = 65_534;

struct Locked {
    sshd: Sshd,
    root: TempDir,
}

impl Locked {
    fn new() -> Self {
        let sshd = Sshd::start();
        // sshd takes a chroot only if none but root can change a folder on the way to it
        let root = tempfile::tempdir_in("/run").unwrap();
        set_mode(root.path(), 0o755);
        let data = root.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(ACCOUNT_ID), Some(ACCOUNT_ID)).unwrap();
        set_mode(&data, 0o700);
        // the account itself reads its authorized_keys
        set_mode(&sshd.path(""), 0o711);
        let keys = sshd.path("keys");
        fs::create_dir(&keys).unwrap();
        fs::copy(sshd.path("user.pub"), keys.join(ACCOUNT)).unwrap();
        let rules = rules(root.path(), &keys);
        sshd.append("sshd_config", &rules);
        Self { sshd, root }
    }

    fn targets(&self) -> [SshTarget; 2] {
        [self.sshd.target(), self.sshd.target_by_program()].map(|target| SshTarget {
            user: ACCOUNT.to_owned(),
            ..target
        })
    }

    fn data(&self, file: &str) -> PathBuf {
        self.root.path().join("data").join(file)
    }
}

/// What the manual has an operator write into sshd_config, for our account and folders.
fn rules(root: &Path, keys: &Path) -> String {
    let manual = include_str!("../../../docs/operations.md");
    let begin = manual.find("Match User aim\n").unwrap();
    let (rules, _) = manual[begin..].split_once("END\n").unwrap();
    let mut rules = rules.to_owned();
    for (written, ours) in [
        ("User aim", format!("User {ACCOUNT}")),
        ("/srv/aim", root.display().to_string()),
        ("/etc/ssh/authorized_keys", keys.display().to_string()),
    ] {
        assert!(rules.contains(written), "{rules}");
        rules = rules.replace(written, &ours);
    }
    rules
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_account_that_is_locked_in_will_do() {
    let locked = Locked::new();
    for (index, target) in locked.targets().into_iter().enumerate() {
        let transport = SftpTransport::new(target, "/data");
        let (file, content) = (format!("{index}.aim"), bytes(300_000, 1));
        let source = Source::from_bytes("source", content.as_slice());
        file_io::run(|_| async {
            put(&transport, &file, &source).await.unwrap();
            // what the mirror host says as root is read, and exchanged
            fs::write(locked.data("mirror.cursor"), b"cursor").unwrap();
            let said = transport.get(&name("mirror.cursor"), 10).await.unwrap();
            assert_eq!(said, b"cursor");
            let listed = transport.list("").await.unwrap();
            assert!(listed.iter().any(|entry| entry.name == file), "{listed:?}");
            transport.remove(&name("mirror.cursor")).await.unwrap();
        })
        .unwrap();
        assert_eq!(fs::read(locked.data(&file)).unwrap(), content);
        let metadata = fs::metadata(locked.data(&file)).unwrap();
        assert_eq!(metadata.uid(), ACCOUNT_ID);
    }
}

#[test]
fn it_reaches_nothing_else() {
    let locked = Locked::new();
    for target in locked.targets() {
        for (directory, is_there) in [("/etc", false), ("/", true)] {
            let transport = SftpTransport::new(target.clone(), directory);
            let source = Source::from_bytes("source", *b"x");
            let refused = file_io::run(|_| async { put(&transport, "a", &source).await })
                .unwrap()
                .unwrap_err();
            match is_there {
                false => assert!(matches!(refused, TransportError::NotFound { .. })),
                true => assert!(matches!(refused, TransportError::PermissionDenied { .. })),
            }
        }
    }
}

#[test]
fn it_runs_no_command() {
    let locked = Locked::new();
    // writes the script and its configuration
    locked.sshd.target_by_program();
    let run = |account: &str| {
        let output = Command::new(locked.sshd.path("ssh"))
            .arg("-F")
            .arg(locked.sshd.path("ssh_config"))
            .args(["-p", &locked.sshd.port().to_string(), "-l", account])
            .args(["127.0.0.1", "id -u"])
            .stdin(Stdio::null())
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(run(&crate::sshd::user()).trim(), "0");
    let said = run(ACCOUNT);
    assert!(said.contains("sftp connections only"), "{said}");
}

//! Keys that are exchanged anew in the middle of a file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use aim_core::fs::HostDirectory;
use aim_remote::file_io;
use aim_remote::ssh::SshTarget;
use aim_remote::transport::SftpTransport;

use crate::behaviour::{bytes, put};
use crate::sshd::Sshd;

/// Stores a file of this length, most of it zeroes, and compares.
fn carry(target: SshTarget, len: u64) {
    let near = tempfile::tempdir().unwrap();
    let far = tempfile::tempdir().unwrap();
    let path = near.path().join("a.aim");
    let file = File::create(&path).unwrap();
    file.set_len(len).unwrap();
    for at in (0..len).step_by(1 << 20) {
        file.write_all_at(&bytes(4096, at), at).unwrap();
    }
    let transport = SftpTransport::new(target, far.path().to_str().unwrap());
    file_io::run(|io| {
        let folder = HostDirectory::open(near.path()).unwrap();
        let source = io.open(&*folder, "a.aim").unwrap();
        async move { put(&transport, "a.aim", &source).await.unwrap() }
    })
    .unwrap();
    assert!(is_same(&path, &far.path().join("a.aim")));
}

fn is_same(a: &Path, b: &Path) -> bool {
    Command::new("cmp").args([a, b]).status().unwrap().success()
}

/// How often the server has changed keys.
fn changes(sshd: &Sshd) -> usize {
    let log = fs::read_to_string(sshd.path("sshd_config.log")).unwrap();
    // both directions are told
    log.matches("rekeying").count() / 2
}

#[test]
fn the_server_may_ask_for_new_keys() {
    let sshd = Sshd::start();
    sshd.append("sshd_config", "RekeyLimit 1M\nLogLevel DEBUG1\n");
    for target in [sshd.target(), sshd.target_by_program()] {
        let before = match sshd.path("sshd_config.log").exists() {
            true => changes(&sshd),
            false => 0,
        };
        carry(target, 12 << 20);
        assert!(changes(&sshd) >= before + 5);
    }
}

/// A connection carries no more than a GiB under one key.
#[test]
fn more_than_a_gigabyte_goes_over_one_connection() {
    let sshd = Sshd::start();
    sshd.append("sshd_config", "LogLevel DEBUG1\n");
    carry(sshd.target(), (1 << 30) + (64 << 20));
    assert!(changes(&sshd) >= 1);
}

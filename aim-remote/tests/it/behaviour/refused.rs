//! What a far side does not take: nothing may be written, or there is no room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aim_remote::transport::TransportError;

use super::case::{Case, Far};
use super::{bytes, put};

pub(super) async fn what_is_forbidden_is_said<F: Far>(case: Case<F>) {
    let (transport, place) = case.far.forbidden(case.directory.path());
    let denied = put(&transport, "a", &case.source(b"x")).await.unwrap_err();
    assert!(
        matches!(denied, TransportError::PermissionDenied { .. }),
        "{denied}"
    );
    let shown = denied.to_string();
    assert!(shown.contains(&format!("{place}/a")), "{denied}");
}

pub(super) async fn a_full_disk_is_said_and_shipping_goes_on<F: Far>(case: Case<F>) {
    let disk = SmallDisk::mount(case.directory.path(), &size(4 * F::PIECE));
    fs::create_dir(case.far_path("incoming")).unwrap();
    let transport = case.transport();
    let content = bytes(8 * F::PIECE, 1);
    let source = case.source(&content);
    let full = put(&transport, "incoming/a.aim", &source)
        .await
        .unwrap_err();
    assert!(F::is_full(&full), "{full}");
    assert_eq!(case.content("incoming/a.aim"), None);
    // a store has it twice for a moment
    disk.resize(&size(18 * F::PIECE));
    let mut stored = put(&transport, "incoming/a.aim", &source).await;
    while let Err(error) = &stored {
        // a server may have closed what is left of the first try
        assert!(
            matches!(error, TransportError::ConnectionLost { .. }),
            "{error}"
        );
        stored = put(&transport, "incoming/a.aim", &source).await;
    }
    let stored = stored.unwrap();
    assert!(stored.reused >= F::PIECE as u64, "{stored:?}");
    assert!(case.content("incoming/a.aim").unwrap() == content);
}

fn size(bytes: usize) -> String {
    format!("{}k", bytes >> 10)
}

/// A tmpfs of a given size. Mounting takes root, which tests of a block device have anyway.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size}"), "aim-test"],
            at,
        );
        Self(at.to_owned())
    }

    fn resize(&self, size: &str) {
        run("mount", &["-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.0);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

//! What every transport does, run on every transport.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aim_core::fs::{Directory, HostDirectory};
use aim_core::packed::{Level, Unpacker};
use aim_remote::file_io::{self, FileIo, Source};
use aim_remote::transport::{
    Bandwidth, LocalTransport, Name, Progress, Put, SftpTransport, Transport, TransportError,
};
use tempfile::TempDir;

use crate::sshd::Sshd;

/// Makes transports to directories, and the server behind them if there is one.
trait Far {
    type Transport: Transport;
    fn start() -> Self;
    fn transport(&self, directory: &Path) -> Self::Transport;
}

struct Local;

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
struct InPlace;

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

struct InternalSftp(Sshd);

impl Far for InternalSftp {
    type Transport = SftpTransport;

    fn start() -> Self {
        Self(Sshd::start())
    }

    fn transport(&self, directory: &Path) -> SftpTransport {
        self.0.transport(directory)
    }
}

struct SftpServer(Sshd);

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
struct ByProgram(Sshd);

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

/// A transport to an empty directory with `incoming/`, and files to put there.
struct Case<F: Far> {
    far: F,
    directory: TempDir,
    files: TempDir,
    io: FileIo,
}

impl<F: Far> Case<F> {
    fn new(io: FileIo) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("incoming")).unwrap();
        Self {
            far: F::start(),
            directory,
            files: tempfile::tempdir().unwrap(),
            io,
        }
    }

    fn transport(&self) -> F::Transport {
        self.far.transport(self.directory.path())
    }

    fn source(&self, content: &[u8]) -> Source {
        self.named_source("source", content)
    }

    fn named_source(&self, name: &str, content: &[u8]) -> Source {
        fs::write(self.files.path().join(name), content).unwrap();
        let folder = HostDirectory::open(self.files.path()).unwrap();
        self.io.open(&*folder, name).unwrap()
    }

    fn far_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Bytes that don't repeat where pieces or pages end.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) async fn put(
    transport: &impl Transport,
    to: &str,
    source: &Source,
) -> Result<Put, TransportError> {
    let progress = Progress::default();
    let put = transport.put(&name(to), source, &progress).await?;
    assert_eq!(progress.acknowledged(), put.sent + put.reused);
    if let Some(len) = source.exact_len() {
        assert_eq!(put.sent + put.reused, len);
    }
    Ok(put)
}

const MIB: usize = 1 << 20;

async fn files_travel<F: Far>(case: Case<F>) {
    let transport = case.transport();
    for (index, len) in [0, 1, 4096, 261_120, 261_121, 5 * MIB + 7]
        .into_iter()
        .enumerate()
    {
        let content = bytes(len, index as u64);
        let to = format!("incoming/{index}.aim");
        let stored = put(&transport, &to, &case.source(&content)).await.unwrap();
        assert_eq!(stored.sent, len as u64);
        assert_eq!(fs::read(case.far_path(&to)).unwrap(), content);
    }
    fs::write(case.far_path("mirror.cursor"), b"cursor").unwrap();
    fs::create_dir(case.far_path("incoming/folder")).unwrap();
    let mut listed = transport.list("incoming").await.unwrap();
    listed.sort();
    let lens: Vec<_> = listed.iter().map(|entry| entry.len).collect();
    assert_eq!(lens, [0, 1, 4096, 261_120, 261_121, 5 * MIB as u64 + 7]);
    assert_eq!(listed[2].name, "2.aim");
    let listed = transport.list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "mirror.cursor");
    assert_eq!(
        transport.get(&name("mirror.cursor"), 6).await.unwrap(),
        b"cursor"
    );
    for _ in 0..2 {
        transport.remove(&name("incoming/0.aim")).await.unwrap();
    }
    assert!(!case.far_path("incoming/0.aim").exists());
}

async fn a_file_that_is_there_is_left_alone<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(2 * MIB + 1, 1));
    put(&transport, "incoming/a.aim", &source).await.unwrap();
    let before = fs::metadata(case.far_path("incoming/a.aim")).unwrap();
    let again = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(again.sent, 0);
    let after = fs::metadata(case.far_path("incoming/a.aim")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
}

async fn other_content_is_replaced<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let mut content = bytes(MIB, 1);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    content[MIB - 1] ^= 1;
    let stored = put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(stored.reused, 0);
    assert_eq!(fs::read(case.far_path("a")).unwrap(), content);
    content.truncate(10);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(fs::read(case.far_path("a")).unwrap(), content);
}

async fn a_part_is_continued_where_it_is_the_same<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let content = bytes(3 * MIB, 1);
    let half = content.len() / 2 + 3;
    let longer = [&content[..], b"more"].concat();
    let mut altered = content[..half].to_vec();
    altered[MIB] ^= 0x80;
    let mut holed = content.clone();
    holed[MIB..2 * MIB].fill(0);
    for (part, reused) in [
        (&content[..half], half),
        (&content[..], content.len()),
        (&longer[..], content.len()),
        (&altered[..], MIB),
        (&holed[..], MIB),
        (&bytes(half, 2)[..], 0),
        (b"", 0),
    ] {
        fs::write(case.far_path("incoming/a.aim.part"), part).unwrap();
        let stored = put(&transport, "incoming/a.aim", &case.source(&content))
            .await
            .unwrap();
        // what is the same may end in the middle of a piece that is sent again
        assert_eq!(stored.reused, reused as u64);
        assert_eq!(fs::read(case.far_path("incoming/a.aim")).unwrap(), content);
        assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
        transport.remove(&name("incoming/a.aim")).await.unwrap();
    }
}

async fn what_is_missing_is_not_found<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let missing = transport.get(&name("missing"), 10).await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    let missing = transport.list("nowhere").await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    let missing = transport.list("../..").await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    let source = case.source(b"x");
    let missing = put(&transport, "nowhere/a", &source).await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    // the transport is of use afterwards
    put(&transport, "a", &source).await.unwrap();
}

async fn a_small_file_has_a_limit<F: Far>(case: Case<F>) {
    let transport = case.transport();
    fs::write(case.far_path("a"), bytes(400_000, 1)).unwrap();
    let content = transport.get(&name("a"), 400_000).await.unwrap();
    assert_eq!(content, bytes(400_000, 1));
    let too_large = transport.get(&name("a"), 399_999).await.unwrap_err();
    assert!(matches!(
        too_large,
        TransportError::TooLarge { limit: 399_999, .. }
    ));
}

async fn what_is_forbidden_is_said<F: Far>(case: Case<F>) {
    // not even root creates files in a file system of terminals
    let transport = case.far.transport(Path::new("/dev/pts"));
    let denied = put(&transport, "a", &case.source(b"x")).await.unwrap_err();
    assert!(
        matches!(denied, TransportError::PermissionDenied { .. }),
        "{denied}"
    );
    assert!(denied.to_string().contains("/dev/pts/a"), "{denied}");
}

async fn a_full_disk_is_said_and_shipping_goes_on<F: Far>(case: Case<F>) {
    let disk = SmallDisk::mount(case.directory.path(), "4m");
    fs::create_dir(case.far_path("incoming")).unwrap();
    let transport = case.transport();
    let content = bytes(8 * MIB, 1);
    let source = case.source(&content);
    let full = put(&transport, "incoming/a.aim", &source)
        .await
        .unwrap_err();
    assert!(matches!(full, TransportError::NoSpace { .. }), "{full}");
    assert!(!case.far_path("incoming/a.aim").exists());
    disk.resize("16m");
    let stored = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert!(stored.reused > MIB as u64, "{stored:?}");
    assert_eq!(fs::read(case.far_path("incoming/a.aim")).unwrap(), content);
}

async fn several_files_travel_at_once<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let contents = [bytes(3 * MIB, 1), bytes(2 * MIB, 2), bytes(MIB, 3)];
    let sources =
        (contents.each_ref()).map(|content| case.named_source(&content.len().to_string(), content));
    let (a, b, c) = tokio::join!(
        put(&transport, "a", &sources[0]),
        put(&transport, "b", &sources[1]),
        put(&transport, "c", &sources[2]),
    );
    for (stored, (to, content)) in [a, b, c]
        .into_iter()
        .zip(["a", "b", "c"].iter().zip(&contents))
    {
        stored.unwrap();
        assert_eq!(&fs::read(case.far_path(to)).unwrap(), content);
    }
}

async fn packed_files_travel<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let mut content = bytes(2 * MIB, 1);
    content.resize(5 * MIB, 0);
    fs::write(case.files.path().join("source"), &content).unwrap();
    let folder = HostDirectory::open(case.files.path()).unwrap();
    let source = case.io.open_packed(&*folder, "source", Level::MIN);
    let source = source.unwrap();
    let there = case.far_path("incoming/a.aim.zst");
    let to = "incoming/a.aim.zst";
    let first = put(&transport, to, &source).await.unwrap();
    let packed = fs::read(&there).unwrap();
    assert_eq!((first.sent, first.reused), (packed.len() as u64, 0));
    assert!(packed.len() < 3 * MIB);
    assert!(unpacked(&there) == content);
    let again = put(&transport, to, &source).await.unwrap();
    assert_eq!((again.sent, again.reused), (0, first.sent));
    // of the same length is not the same
    let mut altered = packed.clone();
    altered[MIB] ^= 1;
    fs::write(&there, &altered).unwrap();
    let part = case.far_path("incoming/a.aim.zst.part");
    for (content, reused) in [
        (&altered[..], MIB),
        (&packed[..MIB + 9], MIB + 9),
        (&packed, packed.len()),
    ] {
        fs::write(&part, content).unwrap();
        let stored = put(&transport, to, &source).await.unwrap();
        assert_eq!(stored.reused, reused as u64);
        assert!(fs::read(&there).unwrap() == packed);
        transport.remove(&name(to)).await.unwrap();
    }
}

async fn a_bandwidth_is_kept<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(3 * MIB, 1));
    // after the first piece the next one is due in days
    let slow = Progress::throttled(Bandwidth::always(NonZeroU64::MIN));
    let to = name("incoming/a.aim");
    let putting = transport.put(&to, &source, &slow);
    let watching = async {
        let step = Duration::from_millis(1);
        while slow.sent() == 0 {
            tokio::time::sleep(step).await;
        }
        // time for more, if more were on its way
        for _ in 0..50 {
            transport.list("incoming").await.unwrap();
            tokio::time::sleep(step).await;
        }
    };
    tokio::select! {
        put = putting => panic!("{put:?}"),
        () = watching => {}
    }
    assert!(slow.sent() <= MIB as u64, "{} bytes", slow.sent());
    // what was given up in the middle is gone on with
    let stored = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(stored.reused, slow.sent());
}

fn unpacked(path: &Path) -> Vec<u8> {
    let folder = HostDirectory::open(path.parent().unwrap()).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    let mut unpacker = Unpacker::open(folder.open(file, false).unwrap()).unwrap();
    let mut content = Vec::new();
    while let Some(piece) = unpacker.next_piece().unwrap() {
        content.extend_from_slice(piece);
    }
    content
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

macro_rules! suite {
    ($($module:ident: $far:ty;)*) => {$(
        mod $module {
            use super::*;
            tests!($far: files_travel, a_file_that_is_there_is_left_alone,
                other_content_is_replaced, a_part_is_continued_where_it_is_the_same,
                what_is_missing_is_not_found, a_small_file_has_a_limit,
                what_is_forbidden_is_said, a_full_disk_is_said_and_shipping_goes_on,
                several_files_travel_at_once, packed_files_travel, a_bandwidth_is_kept);
        }
    )*};
}

macro_rules! tests {
    ($far:ty: $($test:ident),*) => {$(
        #[test]
        fn $test() {
            file_io::run(|io| super::$test(Case::<$far>::new(io))).unwrap();
        }
    )*};
}

suite! {
    local: Local;
    in_place: InPlace;
    internal_sftp: InternalSftp;
    sftp_server: SftpServer;
    ssh_program: ByProgram;
}

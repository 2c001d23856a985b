//! What every transport does, run on every transport.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use aim_core::fs::{Directory, HostDirectory};
use aim_core::packed::{Level, Unpacker};
use aim_remote::file_io::{self, FileIo, Source};
use aim_remote::transport::{
    Bandwidth, LocalTransport, Name, Progress, Put, SftpTransport, StoreTransport, Transport,
    TransportError,
};
use tempfile::TempDir;

use crate::s3_server::{self, Account, BUCKET, Moto, PREFIX, S3sFs, SEALED};
use crate::sshd::Sshd;

/// Makes transports to directories, and the server behind them if there is one. What lies there is
/// reached past the transport, too.
trait Far {
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

/// A store that checks signatures. The directory is its own; it keeps objects there as files.
struct SigningStore {
    account: Account,
    server: OnceLock<S3sFs>,
}

impl SigningStore {
    fn server(&self, root: &Path) -> &S3sFs {
        self.server.get_or_init(|| S3sFs::start(root))
    }
}

impl Far for SigningStore {
    type Transport = StoreTransport;
    const PIECE: usize = 5 * MIB;

    fn start() -> Self {
        Self {
            account: Account::new(),
            server: OnceLock::new(),
        }
    }

    fn transport(&self, directory: &Path) -> StoreTransport {
        let address = self.server(directory).address;
        StoreTransport::new(self.account.target(address, BUCKET, PREFIX))
    }

    fn forbidden(&self, directory: &Path) -> (StoreTransport, &'static str) {
        let address = self.server(directory).address;
        let target = self.account.target(address, SEALED, PREFIX);
        (StoreTransport::new(target), "s3://sealed/volumes/data")
    }

    fn plant(&self, directory: &Path, name: &str, content: &[u8]) {
        let path = s3_server::files_of(directory).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn content(&self, directory: &Path, name: &str) -> Option<Vec<u8>> {
        fs::read(s3_server::files_of(directory).join(name)).ok()
    }

    fn stamp(&self, directory: &Path, name: &str) -> String {
        let path = s3_server::files_of(directory).join(name);
        format!("{:?}", fs::metadata(path).unwrap().modified().unwrap())
    }

    /// It does not say what is wrong with its disk.
    fn is_full(error: &TransportError) -> bool {
        matches!(error, TransportError::Busy { reason, .. } if reason.contains("InternalError"))
    }
}

/// A store in memory, as many test with.
struct MotoStore {
    account: Account,
    bucket: String,
}

impl MotoStore {
    fn path(&self, name: &str) -> String {
        format!("/{}/{PREFIX}/{name}", self.bucket)
    }
}

impl Far for MotoStore {
    type Transport = StoreTransport;
    const PIECE: usize = 5 * MIB;

    fn start() -> Self {
        Self {
            account: Account::new(),
            bucket: Moto::shared().new_bucket(),
        }
    }

    fn transport(&self, _: &Path) -> StoreTransport {
        let address = Moto::shared().address;
        StoreTransport::new(self.account.target(address, &self.bucket, PREFIX))
    }

    fn plant(&self, _: &Path, name: &str, content: &[u8]) {
        let (head, _) = Moto::shared().ask("PUT", &self.path(name), content);
        assert!(head.contains(" 200 "), "{head}");
    }

    fn content(&self, _: &Path, name: &str) -> Option<Vec<u8>> {
        let (head, content) = Moto::shared().ask("GET", &self.path(name), b"");
        head.contains(" 200 ").then_some(content)
    }

    fn stamp(&self, _: &Path, name: &str) -> String {
        let (head, _) = Moto::shared().ask("HEAD", &self.path(name), b"");
        let mut lines = head.lines().map(str::to_lowercase);
        lines
            .find(|line| line.starts_with("last-modified"))
            .unwrap()
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

    fn plant(&self, name: &str, content: &[u8]) {
        self.far.plant(self.directory.path(), name, content);
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.far.content(self.directory.path(), name)
    }

    fn stamp(&self, name: &str) -> String {
        self.far.stamp(self.directory.path(), name)
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
        assert!(case.content(&to).unwrap() == content);
    }
    case.plant("mirror.cursor", b"cursor");
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
    assert_eq!(case.content("incoming/0.aim"), None);
}

async fn folders_are_not_listed<F: Far>(case: Case<F>) {
    fs::create_dir(case.far_path("incoming/folder")).unwrap();
    fs::write(case.far_path("incoming/a"), b"x").unwrap();
    let listed = case.transport().list("incoming").await.unwrap();
    assert_eq!(listed.len(), 1);
}

async fn a_file_that_is_there_is_left_alone<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(2 * MIB + 1, 1));
    put(&transport, "incoming/a.aim", &source).await.unwrap();
    let before = case.stamp("incoming/a.aim");
    let again = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(again.sent, 0);
    assert_eq!(before, case.stamp("incoming/a.aim"));
    assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
}

async fn other_content_is_replaced<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let mut content = bytes(MIB, 1);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    content[MIB - 1] ^= 1;
    let stored = put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(stored.reused, 0);
    assert_eq!(case.content("a").unwrap(), content);
    content.truncate(10);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(case.content("a").unwrap(), content);
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
    let missing = transport.list("../..").await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    // the transport is of use afterwards
    put(&transport, "a", &case.source(b"x")).await.unwrap();
}

async fn a_missing_folder_is_not_found<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let missing = transport.list("nowhere").await.unwrap_err();
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
    put(&transport, "a", &source).await.unwrap();
}

async fn a_small_file_has_a_limit<F: Far>(case: Case<F>) {
    let transport = case.transport();
    case.plant("a", &bytes(400_000, 1));
    let content = transport.get(&name("a"), 400_000).await.unwrap();
    assert_eq!(content, bytes(400_000, 1));
    let too_large = transport.get(&name("a"), 399_999).await.unwrap_err();
    assert!(matches!(
        too_large,
        TransportError::TooLarge { limit: 399_999, .. }
    ));
}

async fn what_is_forbidden_is_said<F: Far>(case: Case<F>) {
    let (transport, place) = case.far.forbidden(case.directory.path());
    let denied = put(&transport, "a", &case.source(b"x")).await.unwrap_err();
    assert!(
        matches!(denied, TransportError::PermissionDenied { .. }),
        "{denied}"
    );
    let shown = denied.to_string();
    assert!(shown.contains(&format!("{place}/a")), "{denied}");
}

async fn a_full_disk_is_said_and_shipping_goes_on<F: Far>(case: Case<F>) {
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
        assert!(case.content(to).as_ref() == Some(content));
    }
}

/// A file that is packed on its way, and its content.
fn packed_source<F: Far>(case: &Case<F>) -> (Source, Vec<u8>) {
    let mut content = bytes(2 * MIB, 1);
    content.resize(5 * MIB, 0);
    fs::write(case.files.path().join("source"), &content).unwrap();
    let folder = HostDirectory::open(case.files.path()).unwrap();
    let source = case.io.open_packed(&*folder, "source", Level::MIN);
    (source.unwrap(), content)
}

async fn packed_files_travel<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let (source, content) = packed_source(&case);
    let to = "incoming/a.aim.zst";
    let first = put(&transport, to, &source).await.unwrap();
    let packed = case.content(to).unwrap();
    assert_eq!((first.sent, first.reused), (packed.len() as u64, 0));
    assert!(packed.len() < 3 * MIB);
    assert!(unpacked(&packed) == content);
    let again = put(&transport, to, &source).await.unwrap();
    assert_eq!((again.sent, again.reused), (0, first.sent));
    // of the same length is not the same
    let mut altered = packed.clone();
    altered[MIB] ^= 1;
    case.plant(to, &altered);
    let stored = put(&transport, to, &source).await.unwrap();
    assert!(stored.reused < first.sent);
    assert!(case.content(to).unwrap() == packed);
}

async fn a_part_of_a_packed_file_is_continued<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let (source, _) = packed_source(&case);
    let to = "incoming/a.aim.zst";
    put(&transport, to, &source).await.unwrap();
    let packed = case.content(to).unwrap();
    let mut altered = packed.clone();
    altered[MIB] ^= 1;
    for (content, reused) in [
        (&altered[..], MIB),
        (&packed[..MIB + 9], MIB + 9),
        (&packed, packed.len()),
    ] {
        transport.remove(&name(to)).await.unwrap();
        case.plant("incoming/a.aim.zst.part", content);
        let stored = put(&transport, to, &source).await.unwrap();
        assert_eq!(stored.reused, reused as u64);
        assert!(case.content(to).unwrap() == packed);
    }
}

async fn a_bandwidth_is_kept<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(3 * F::PIECE, 1));
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
    assert!(slow.sent() <= F::PIECE as u64, "{} bytes", slow.sent());
    // what was given up in the middle is gone on with
    let stored = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(stored.reused, slow.sent());
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("packed"), packed).unwrap();
    let folder = HostDirectory::open(temp.path()).unwrap();
    let mut unpacker = Unpacker::open(folder.open("packed", false).unwrap()).unwrap();
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

/// What every transport does, and besides it what only some can.
macro_rules! suite {
    ($($module:ident: $far:ty, $more:ident;)*) => {$(
        mod $module {
            use super::*;
            tests!($far: files_travel, a_file_that_is_there_is_left_alone,
                other_content_is_replaced, what_is_missing_is_not_found,
                a_small_file_has_a_limit, several_files_travel_at_once, packed_files_travel,
                a_bandwidth_is_kept);
            $more!($far);
        }
    )*};
}

/// There are folders, in which something may be forbidden and a half-sent file is one, too.
macro_rules! of_folders {
    ($far:ty) => {
        on_disk!($far);
        tests!($far: folders_are_not_listed, a_missing_folder_is_not_found,
            a_part_is_continued_where_it_is_the_same, a_part_of_a_packed_file_is_continued);
    };
}

/// It may be forbidden to write, and room may be missing.
macro_rules! on_disk {
    ($far:ty) => {
        tests!($far: what_is_forbidden_is_said, a_full_disk_is_said_and_shipping_goes_on);
    };
}

/// In memory.
macro_rules! nothing_more {
    ($far:ty) => {};
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
    local: Local, of_folders;
    in_place: InPlace, of_folders;
    internal_sftp: InternalSftp, of_folders;
    sftp_server: SftpServer, of_folders;
    ssh_program: ByProgram, of_folders;
    s3s_fs: SigningStore, on_disk;
    moto: MotoStore, nothing_more;
}

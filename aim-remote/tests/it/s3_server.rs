//! Object stores that the tests start: s3s-fs, which checks signatures and keeps objects as files,
//! and moto, which is what many test against.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use aim_remote::store::{StoreCredentials, StoreLimits, StoreTarget};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const BUCKET: &str = "aim-test";
/// A bucket that nobody may write to.
pub(crate) const SEALED: &str = "sealed";
pub(crate) const PREFIX: &str = "volumes/data";
const KEY: &str = "AKTEST";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// Writes a file with credentials.
pub(crate) fn write_credentials(path: &Path, key: &str, secret: &str) {
    let text = format!("aws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Credentials in a file, and the way to a server.
pub(crate) struct Account {
    folder: TempDir,
}

impl Account {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let account = Self { folder };
        account.set(KEY, SECRET);
        account
    }

    pub(crate) fn set(&self, key: &str, secret: &str) {
        write_credentials(&self.folder.path().join("credentials"), key, secret);
    }

    pub(crate) fn target(&self, server: SocketAddr, bucket: &str, prefix: &str) -> StoreTarget {
        StoreTarget {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(format!("http://{server}")),
            region: "us-east-1".to_owned(),
            credentials: StoreCredentials::File(self.folder.path().join("credentials")),
            allow_http: true,
            limits: StoreLimits::default(),
        }
    }
}

/// s3s-fs in this process. Dropped, it is gone with all of its connections, as if killed.
pub(crate) struct S3sFs {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Gate>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl S3sFs {
    /// Serves what lies in `root`, in which buckets are folders.
    pub(crate) fn start(root: &Path) -> Self {
        Self::start_at(root, "127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(root: &Path, address: SocketAddr) -> Self {
        for bucket in [BUCKET, SEALED] {
            fs::create_dir_all(root.join(bucket)).unwrap();
        }
        let gate = Arc::new(Gate::default());
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        builder.set_access(Access(Arc::clone(&gate)));
        let service = builder.build();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (sender, started) = channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let serving = async {
                    loop {
                        let (socket, _) = listener.accept().await.unwrap();
                        let server = Builder::new(TokioExecutor::new());
                        let service = service.clone();
                        tokio::spawn(async move {
                            let socket = TokioIo::new(socket);
                            // the other side may go at any time
                            drop(server.serve_connection(socket, service).await);
                        });
                    }
                };
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: started.recv().unwrap(),
            gate,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for S3sFs {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// How many parts are taken; the others wait for ever.
pub(crate) struct Gate {
    left: AtomicUsize,
    shut: Mutex<Sender<()>>,
    reached: Mutex<Receiver<()>>,
}

impl Default for Gate {
    fn default() -> Self {
        let (sender, reached) = channel();
        Self {
            left: AtomicUsize::new(usize::MAX),
            shut: Mutex::new(sender),
            reached: Mutex::new(reached),
        }
    }
}

impl Gate {
    /// Takes so many parts from now on.
    pub(crate) fn take_parts(&self, count: usize) {
        self.left.store(count, Ordering::SeqCst);
    }

    /// Waits until one has come that is not taken.
    pub(crate) fn wait_until_shut(&self) {
        self.reached.lock().unwrap().recv().unwrap();
    }
}

struct Access(Arc<Gate>);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "not signed"));
        }
        let bucket = context.s3_path().get_bucket_name();
        let operation = context.s3_op().name();
        if bucket == Some(SEALED) && operation.starts_with("Put") {
            return Err(s3_error!(AccessDenied, "sealed"));
        }
        if operation == "UploadPart" {
            let take = |left: usize| left.checked_sub(1);
            let left = &self.0.left;
            let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
            if taken.is_err() {
                self.0.shut.lock().unwrap().send(()).unwrap();
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }
}

/// moto, once for all tests of this process: each has a bucket of its own.
pub(crate) struct Moto {
    pub(crate) address: SocketAddr,
    /// With its standard input it ends, too.
    _process: Child,
}

/// Ends with its standard input, so with this process, and listens on a port that is free.
const MOTO: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', '0'])
";

impl Moto {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("moto-venv/bin/python");
        assert!(
            python.exists(),
            "moto is missing, which `cargo xtask setup` installs: there is no {}",
            python.display()
        );
        let mut process = Command::new(&python)
            .args(["-c", MOTO])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("Running on http://")?;
            Some(address.trim().parse().unwrap())
        });
        let address = address.expect("moto ended; install it anew with `cargo xtask setup`");
        // nobody else reads what it says of each request
        thread::spawn(move || lines.for_each(drop));
        Self {
            address,
            _process: process,
        }
    }

    /// Makes a bucket that no other test has.
    pub(crate) fn new_bucket(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let bucket = format!("bucket-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        self.ask("PUT", &format!("/{bucket}"), b"");
        bucket
    }

    /// Asks past the transport, with a signature that moto does not check. Gives head and content
    /// of the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, content: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let len = content.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\n\
             Content-Length: {len}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={KEY}/20260101/\
             us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(content).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head, answer[end + 4..].to_vec())
    }
}

/// A place in a bucket of s3s-fs, and where it keeps the objects as files.
pub(crate) fn files_of(root: &Path) -> PathBuf {
    root.join(BUCKET).join(PREFIX)
}

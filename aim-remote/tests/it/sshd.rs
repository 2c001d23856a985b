//! A real OpenSSH server on a loopback port, with keys and configuration of its own.
//!
//! The test listens and hands each connection to an `sshd -i`: no port is guessed, nothing has
//! to be waited for, and a fault can sit on the line in between.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aim_remote::ssh::{Credential, Login, SshProgram, SshTarget, Timeouts, Way};
use aim_remote::transport::SftpTransport;
use tempfile::TempDir;

/// What happens to the next connection.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// It is cut when the client has sent this many bytes.
    CutAfter(usize),
    /// Nothing more is taken from the client after this many bytes, until it is thawed.
    FreezeAfter(usize),
}

pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    shared: Arc<Shared>,
    reached: Receiver<()>,
}

struct Shared {
    config: PathBuf,
    connections: AtomicUsize,
    fault: Mutex<Option<Fault>>,
    children: Mutex<Vec<Child>>,
    reached: Mutex<Sender<()>>,
    /// Both ends of the lines that were frozen.
    frozen: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with_subsystem("internal-sftp")
    }

    pub(crate) fn with_subsystem(subsystem: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        keygen(folder.path(), "host_ed25519", "ed25519", "");
        keygen(folder.path(), "user", "ed25519", "");
        let path = folder.path().display();
        let config = folder.path().join("sshd_config");
        let text = format!(
            "HostKey {path}/host_ed25519\n\
             AuthorizedKeysFile {path}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nSubsystem sftp {subsystem}\n"
        );
        fs::write(&config, text).unwrap();
        fs::copy(
            folder.path().join("user.pub"),
            folder.path().join("authorized_keys"),
        )
        .unwrap();
        // where sshd's unprivileged half lives; the package's service makes it on a full system
        fs::create_dir_all("/run/sshd").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, reached) = channel();
        let shared = Arc::new(Shared {
            config,
            connections: AtomicUsize::new(0),
            fault: Mutex::new(None),
            children: Mutex::default(),
            reached: Mutex::new(sender),
            frozen: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                server.serve(client.unwrap()).unwrap();
            }
        });
        let sshd = Self {
            folder,
            port,
            shared,
            reached,
        };
        sshd.record_host_key("host_ed25519");
        sshd
    }

    /// Replaces known_hosts by one line for this key.
    pub(crate) fn record_host_key(&self, name: &str) {
        let line = format!("{} {}", self.host(), self.public_key(name));
        self.write_known_hosts(&line);
    }

    pub(crate) fn write_known_hosts(&self, text: &str) {
        fs::write(self.path("known_hosts"), text).unwrap();
    }

    /// Gives the server one more host key.
    pub(crate) fn add_host_key(&self, name: &str, kind: &str) {
        keygen(self.folder.path(), name, kind, "");
        self.prepend(&format!("HostKey {}", self.path(name).display()));
    }

    /// Lets the server show the certificate that lies beside its key.
    pub(crate) fn add_host_certificate(&self) {
        let path = self.path("host_ed25519-cert.pub");
        self.prepend(&format!("HostCertificate {}", path.display()));
    }

    /// Gives the server one other host key, and its certificate.
    pub(crate) fn only_host_key(&self, name: &str, kind: &str) {
        keygen(self.folder.path(), name, kind, "");
        let path = self.path(name);
        let config = fs::read_to_string(&self.shared.config).unwrap();
        let rest = config.lines().filter(|line| !line.starts_with("Host"));
        let rest: Vec<&str> = rest.collect();
        let rest = rest.join("\n");
        let (key, rest) = (path.display(), rest + "\n");
        let text = format!("HostKey {key}\nHostCertificate {key}-cert.pub\n{rest}");
        fs::write(&self.shared.config, text).unwrap();
    }

    /// Accepts users whom this key certifies.
    pub(crate) fn trust_user_authority(&self, name: &str) {
        let path = self.path(&format!("{name}.pub"));
        self.prepend(&format!("TrustedUserCAKeys {}", path.display()));
    }

    /// Replaces a part of the server's configuration.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let config = fs::read_to_string(&self.shared.config).unwrap();
        assert!(config.contains(from), "{config}");
        fs::write(&self.shared.config, config.replace(from, to)).unwrap();
    }

    fn prepend(&self, line: &str) {
        let config = fs::read_to_string(&self.shared.config).unwrap();
        fs::write(&self.shared.config, format!("{line}\n{config}")).unwrap();
    }

    /// Adds to a file of the server's folder.
    pub(crate) fn append(&self, name: &str, text: &str) {
        let path = self.path(name);
        let content = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, content + text).unwrap();
    }

    /// known_hosts as `ssh-keygen -H` makes it of the present one.
    pub(crate) fn hash_known_hosts(&self) -> String {
        let path = self.path("known_hosts");
        let status = Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        let hashed = fs::read_to_string(path).unwrap();
        assert!(hashed.starts_with("|1|"), "{hashed}");
        hashed
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As known_hosts names it.
    pub(crate) fn host(&self) -> String {
        format!("[127.0.0.1]:{}", self.port)
    }

    pub(crate) fn public_key(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key that may log in.
    pub(crate) fn authorize(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        keygen(self.folder.path(), name, kind, passphrase);
        let keys = self.path("authorized_keys");
        let text = fs::read_to_string(&keys).unwrap() + &self.public_key(name);
        fs::write(keys, text).unwrap();
        self.path(name)
    }

    /// The built-in client, with the user's key.
    pub(crate) fn target(&self) -> SshTarget {
        let credential = Credential::KeyFile {
            path: self.path("user"),
            passphrase: None,
        };
        self.target_with(vec![credential])
    }

    pub(crate) fn target_with(&self, credentials: Vec<Credential>) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
            user: user(),
            way: Way::BuiltIn(Login {
                known_hosts: vec![self.path("known_hosts")],
                credentials,
            }),
            timeouts: Timeouts::default(),
        }
    }

    /// The program `ssh`, with the same key and the same known_hosts.
    pub(crate) fn target_by_program(&self) -> SshTarget {
        let path = self.path("ssh");
        if !path.exists() {
            self.write_ssh(&path);
        }
        SshTarget {
            way: Way::Program(SshProgram {
                path,
                config: Some(self.path("ssh_config")),
            }),
            ..self.target()
        }
    }

    /// A script that is `ssh` and tells its process.
    fn write_ssh(&self, path: &Path) {
        let folder = self.folder.path().display();
        let script = format!("#!/bin/sh\necho $$ >> {folder}/ssh.pids\nexec ssh \"$@\"\n");
        fs::write(path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n\
             IdentityFile {folder}/user\nIdentityAgent none\n"
        );
        fs::write(self.path("ssh_config"), config).unwrap();
    }

    /// The `ssh` processes that were started so far and are still there, zombies too.
    pub(crate) fn ssh_processes(&self) -> Vec<String> {
        let pids = fs::read_to_string(self.path("ssh.pids")).unwrap_or_default();
        let is_there = |pid: &&str| Path::new("/proc").join(pid).exists();
        pids.lines().filter(is_there).map(str::to_owned).collect()
    }

    pub(crate) fn transport(&self, directory: &Path) -> SftpTransport {
        SftpTransport::new(self.target(), directory.to_str().unwrap())
    }

    /// Lays a fault on the next connection.
    pub(crate) fn break_next(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }

    /// Waits until the fault has struck.
    pub(crate) fn wait_for_fault(&self) {
        self.reached
            .recv_timeout(Duration::from_secs(60))
            .expect("the fault strikes");
    }

    /// Lets the lines that were frozen go on.
    pub(crate) fn thaw(&self) {
        for (client, server) in self.shared.frozen.lock().unwrap().drain(..) {
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || shared.forward(client, server, Fault::CutAfter(usize::MAX)));
        }
    }

    /// Adds a line to the configuration of the server.
    pub(crate) fn configure(&self, line: &str) {
        let config = fs::read_to_string(&self.shared.config).unwrap();
        fs::write(&self.shared.config, format!("{line}\n{config}")).unwrap();
    }

    /// What the servers have said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.shared.config.with_extension("log")).unwrap_or_default()
    }

    /// Connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Stops the servers of all connections where they are: they live, and do nothing.
    pub(crate) fn stop_sessions(&self) {
        let children = self.shared.children.lock().unwrap();
        children.iter().for_each(|child| signal_all(child, "-STOP"));
    }

    /// Kills the servers of all connections.
    pub(crate) fn kill_sessions(&self) {
        for mut child in self.shared.children.lock().unwrap().drain(..) {
            // those that were stopped would not notice
            signal_all(&child, "-KILL");
            child.wait().unwrap();
        }
        // as a host does for a process that is gone: what is still sent is refused
        self.shared.frozen.lock().unwrap().clear();
    }
}

/// Signals a server and all that it has started. They are stopped first, one generation after the
/// other: none is born behind our back.
fn signal_all(child: &Child, signal: &str) {
    let mut all = vec![child.id()];
    send("-STOP", &all);
    loop {
        let born: Vec<u32> = children_of(&all);
        if born.is_empty() {
            break;
        }
        send("-STOP", &born);
        all.extend(born);
    }
    send(signal, &all);
}

/// Processes that these have started, besides themselves.
fn children_of(parents: &[u32]) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let children = processes.filter_map(|entry| {
        let pid = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split(' ').nth(2)?.parse().ok()?;
        (parents.contains(&parent) && !parents.contains(&pid)).then_some(pid)
    });
    children.collect()
}

fn send(signal: &str, pids: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(signal).args(pids.iter().map(u32::to_string));
    // some may have ended meanwhile
    let _ = kill.stderr(Stdio::null()).status().unwrap();
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill_sessions();
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let Some(fault) = self.fault.lock().unwrap().take() else {
            return self.spawn(client.into());
        };
        let (near, far) = UnixStream::pair()?;
        self.spawn(far.into())?;
        let (mut from_server, mut to_client) = (near.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            drop(io::copy(&mut from_server, &mut to_client));
            drop(to_client.shutdown(Shutdown::Both));
        });
        let shared = Arc::clone(self);
        thread::spawn(move || shared.forward(client, near, fault));
        Ok(())
    }

    /// Carries the client's bytes until the fault strikes.
    fn forward(&self, mut client: TcpStream, mut server: UnixStream, fault: Fault) {
        let (Fault::CutAfter(mut left) | Fault::FreezeAfter(mut left)) = fault;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = left.min(buffer.len());
            let Ok(len @ 1..) = client.read(&mut buffer[..most]) else {
                break;
            };
            if server.write_all(&buffer[..len]).is_err() {
                break;
            }
            left -= len;
        }
        if matches!(fault, Fault::CutAfter(_)) {
            drop(client.shutdown(Shutdown::Both));
        }
        if matches!(fault, Fault::FreezeAfter(_)) {
            // open, and nobody reads: a byte taken here would be missing from what the server
            // says to the client, which would see a broken stream instead of a frozen one
            self.frozen.lock().unwrap().push((client, server));
        }
        // the test may have ended without waiting
        let _ = self.reached.lock().unwrap().send(());
    }

    fn spawn(&self, socket: OwnedFd) -> io::Result<()> {
        let child = Command::new("/usr/sbin/sshd")
            .arg("-i")
            .arg("-f")
            .arg(&self.config)
            .arg("-E")
            .arg(self.config.with_extension("log"))
            .stdin(Stdio::from(socket.try_clone()?))
            .stdout(Stdio::from(socket))
            .spawn()?;
        self.children.lock().unwrap().push(child);
        Ok(())
    }
}

pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn keygen(folder: &Path, name: &str, kind: &str, passphrase: &str) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "", "-f"])
        .arg(folder.join(name))
        .status()
        .expect("ssh-keygen (package openssh-client) runs");
    assert!(status.success());
}

/// Has `authority` certify a host key; `options` say for which names and how long.
pub(crate) fn sign_host_key(folder: &Path, authority: &str, name: &str, options: &[&str]) {
    sign(folder, authority, name, &[&["-h"], options].concat());
}

/// Has `authority` certify that a key is this user's.
pub(crate) fn sign_user_key(folder: &Path, authority: &str, name: &str, user: &str) {
    sign(folder, authority, name, &["-n", user]);
}

fn sign(folder: &Path, authority: &str, name: &str, options: &[&str]) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-I", "test", "-s"])
        .arg(folder.join(authority))
        .args(options)
        .arg(folder.join(format!("{name}.pub")))
        .status();
    assert!(status.unwrap().success());
}

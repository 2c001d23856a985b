//! Both coordinators with a real sshd between them.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::machine::shell;
use crate::pair::{MOUNT, Pair, mirror_folder, prepare};

const PORT: u16 = 2222;
/// Keys and known_hosts of the test.
const KEYS: &str = "/run/aim-ssh";

/// A server that allows files only; ends with the test.
#[derive(Debug)]
struct Sshd(Child);

impl Sshd {
    fn start() -> Self {
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-p", &PORT.to_string()])
            .args([
                "-h",
                &format!("{KEYS}/host"),
                "-o",
                "ListenAddress=127.0.0.1",
            ])
            .args(["-o", &format!("AuthorizedKeysFile={KEYS}/user.pub")])
            .args([
                "-o",
                "StrictModes=no",
                "-o",
                "UsePAM=no",
                "-o",
                "PermitRootLogin=yes",
            ])
            .args([
                "-o",
                "Subsystem=sftp internal-sftp",
                "-o",
                "ForceCommand=internal-sftp",
            ])
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd starts");
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            std::thread::yield_now();
        }
        Self(child)
    }

    /// The servers of open connections, which are its children.
    fn sessions(&self) -> Vec<Pid> {
        let parent = self.0.id().to_string();
        let entries = fs::read_dir("/proc").expect("/proc");
        let numbers = entries.flatten().filter_map(|entry| {
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // behind the name, which may hold anything: state, parent
            let (_, fields) = stat.rsplit_once(") ")?;
            (fields.split(' ').nth(1)? == parent).then_some(number)
        });
        numbers.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // they lose their parent with it
        let sessions = self.sessions();
        let _ = self.0.kill();
        for session in sessions {
            // it may have ended by itself
            let _ = rustix::process::kill_process(session, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

fn make_keys() {
    shell(&format!(
        "rm -rf {KEYS}; mkdir -p -m 700 {KEYS} /run/sshd
         ssh-keygen -q -t ed25519 -N '' -f {KEYS}/host
         ssh-keygen -q -t ed25519 -N '' -f {KEYS}/user"
    ));
    let host = fs::read_to_string(format!("{KEYS}/host.pub")).expect("a key");
    fs::write(
        format!("{KEYS}/known_hosts"),
        format!("[127.0.0.1]:{PORT} {host}"),
    )
    .expect("room");
}

fn pair_over_ssh() -> Pair {
    Pair::with_target(&format!(
        "target = \"ssh://root@127.0.0.1:{PORT}{}\"\nkey = \"{KEYS}/user\"\n\
         known_hosts = \"{KEYS}/known_hosts\"",
        mirror_folder().display()
    ))
}

#[test]
fn a_file_system_reaches_the_mirror_and_the_line_may_break() {
    prepare();
    make_keys();
    let server = Sshd::start();
    let pair = pair_over_ssh();
    let device = pair.device();
    shell(&format!(
        "mkfs.ext4 -q {device}; mount {device} {MOUNT}; head -c 1M /dev/urandom > {MOUNT}/one; sync"
    ));
    pair.source().settle();
    drop(server);
    shell(&format!(
        "head -c 1M /dev/urandom > {MOUNT}/two; umount {MOUNT}"
    ));
    let server = Sshd::start();
    let disks = pair.end();
    drop(server);
    shell(&format!("e2fsck -f -n {}", disks.mirror.display()));
}

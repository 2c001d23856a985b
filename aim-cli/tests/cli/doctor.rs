//! `aim doctor`.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ran, aim, text};
use crate::run::{Daemon, Host};
use crate::series::Series;

/// A source's configuration, with disk and journal, whose target is to be given.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        fs::write(site.path("disk"), vec![0; 1 << 20]).unwrap();
        fs::create_dir(site.path("mirror")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn configure(&self, target: &str) {
        let at = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "run_dir = \"{}\"\nstate_dir = \"{}\"\n[volume.data]\ndevice = \"{}\"\n\
             journal = \"{}\"\n{target}\n[mirror.other]\ndevice = \"{}\"\ndirectory = \"{}\"\n",
            at("run"),
            at("state"),
            at("disk"),
            at("journal"),
            at("no-disk"),
            at("no-mirror"),
        );
        fs::write(self.path("aim.toml"), text).unwrap();
    }

    fn doctor(&self, arguments: &[&str]) -> Ran {
        let config = self.path("aim.toml");
        aim(&[&["doctor", "-c", text(&config)], arguments].concat())
    }

    /// The findings; the exit status says the worst of them.
    fn findings(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.doctor(&[&["--json"], arguments].concat());
        let said = ran.json();
        let code = match said["verdict"].as_str().unwrap() {
            "ok" => 0,
            "warning" => 3,
            "problem" => 1,
            other => panic!("{other}"),
        };
        assert_eq!(ran.code, code, "{}", ran.stdout);
        let findings = said["findings"].as_array().unwrap().clone();
        let worst = ["problem", "warning", "ok"].into_iter().find(|verdict| {
            findings
                .iter()
                .any(|finding| finding["verdict"] == *verdict)
        });
        assert_eq!(said["verdict"], worst.unwrap());
        for finding in findings.iter().filter(|finding| finding["verdict"] != "ok") {
            assert!(
                finding["remedy"].is_string() || finding["causes"].is_array(),
                "{finding}"
            );
        }
        findings
    }

    /// A server whose account is ours, with a key of the test's.
    fn make_server(&self) {
        for name in ["host", "user"] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
                .arg(self.path(name))
                .status();
            assert!(status.unwrap().success());
        }
        fs::create_dir_all("/run/sshd").unwrap();
        let path = self.0.path().display();
        let config = format!(
            "HostKey {path}/host\nAuthorizedKeysFile {path}/user.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n\
             Subsystem sftp internal-sftp\n"
        );
        fs::write(self.path("sshd_config"), config).unwrap();
    }

    /// Hands connections to the server, on the port that is returned.
    fn listen(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = self.path("sshd_config");
        thread::spawn(move || {
            for client in listener.incoming() {
                let socket = OwnedFd::from(client.unwrap());
                let mut command = Command::new("/usr/sbin/sshd");
                command.args(["-i", "-f"]).arg(&config);
                command.stdin(Stdio::from(socket.try_clone().unwrap()));
                command.stdout(Stdio::from(socket)).stderr(Stdio::null());
                let mut child = command.spawn().unwrap();
                thread::spawn(move || child.wait());
            }
        });
        port
    }
}

/// What was found by this check, the worst first.
#[track_caller]
fn found<'a>(findings: &'a [Value], about: &str, check: &str) -> &'a Value {
    let of_check = |finding: &&Value| finding["about"] == about && finding["check"] == check;
    let rank = |finding: &&Value| match finding["verdict"].as_str() {
        Some("problem") => 0,
        Some("warning") => 1,
        _ => 2,
    };
    let worst = findings.iter().filter(of_check).min_by_key(rank);
    worst.unwrap_or_else(|| panic!("no {check} about {about}: {findings:#?}"))
}

#[track_caller]
fn is(findings: &[Value], about: &str, check: &str, verdict: &str) {
    let found = found(findings, about, check);
    assert_eq!(found["verdict"], verdict, "{found}");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_folder_as_target_is_tried() {
    let site = Site::new();
    site.configure(&format!("target = \"{}\"", site.path("mirror").display()));
    let findings = site.findings(&["volume.data"]);
    for check in [
        "kernel",
        "ublk",
        "io_uring",
        "rights",
        "memory",
        "open_files",
        "clock",
    ] {
        found(&findings, "host", check);
    }
    is(&findings, "host", "daemon", "ok");
    is(&findings, "volume.data", "disk", "ok");
    is(&findings, "volume.data", "identity", "warning");
    is(&findings, "volume.data", "writable", "ok");
    is(&findings, "volume.data", "pairing", "ok");
    // all lie in one folder here
    is(&findings, "volume.data", "target", "warning");
    is(&findings, "volume.data", "journal", "warning");
    let latency = found(&findings, "volume.data", "time_latency");
    assert!(latency["figures"]["idle_seconds"].as_f64().unwrap() >= 1.0);
    assert!(is_empty(&site.path("mirror")));
    assert!(
        !findings
            .iter()
            .any(|finding| finding["about"] == "mirror.other")
    );
}

#[test]
fn each_of_several_targets_is_tried() {
    let site = Site::new();
    let table = |name: &str, folder: &str| {
        let url = site.path(folder).display().to_string();
        format!("[volume.data.targets.{name}]\nurl = \"{url}\"\n")
    };
    site.configure(&(table("near", "mirror") + &table("far", "nowhere")));
    let findings = site.findings(&["volume.data"]);
    is(&findings, "volume.data", "disk", "ok");
    is(&findings, "volume.data.targets.near", "writable", "ok");
    is(&findings, "volume.data.targets.near", "pairing", "ok");
    is(&findings, "volume.data.targets.far", "writable", "problem");
    let of_volume = |finding: &&Value| finding["about"] == "volume.data";
    let mut of_volume = findings.iter().filter(of_volume);
    assert!(!of_volume.any(|finding| finding["check"] == "writable"));
    assert!(is_empty(&site.path("mirror")));
    site.doctor(&["volume.data"])
        .exits(1)
        .prints("volume.data.targets.far\n")
        .prints("volume.data.targets.near\n");
}

#[test]
fn what_is_missing_is_a_problem_with_a_remedy() {
    let site = Site::new();
    site.configure(&format!("target = \"{}\"", site.path("nowhere").display()));
    fs::remove_file(site.path("disk")).unwrap();
    let ran = site
        .doctor(&[])
        .exits(1)
        .prints("host\n")
        .prints("volume.data\n")
        .prints("  problem  disk: can't use the disk")
        .prints("remedy: ")
        .prints("mirror.other\n")
        .prints("  problem  directory: ");
    assert!(ran.stdout.contains("nowhere"), "{}", ran.stdout);
    site.doctor(&["nobody"]).exits(10);
    let findings = site.findings(&[]);
    is(&findings, "volume.data", "disk", "problem");
    is(&findings, "volume.data", "writable", "problem");
    is(&findings, "mirror.other", "disk", "problem");
    is(&findings, "mirror.other", "directory", "problem");
}

#[test]
fn the_line_and_the_server_are_tried() {
    let site = Site::new();
    site.make_server();
    let port = site.listen();
    let target = format!(
        "target = \"ssh://root@127.0.0.1:{port}{}\"\nkey = \"{}\"\nknown_hosts = \"{}\"",
        site.path("mirror").display(),
        site.path("user").display(),
        site.path("known_hosts").display()
    );
    site.configure(&target);
    let findings = site.findings(&["data"]);
    is(&findings, "volume.data", "target", "problem");
    let unknown = found(&findings, "volume.data", "target");
    assert!(
        unknown["causes"][0]
            .as_str()
            .unwrap()
            .contains("no host key"),
        "{unknown}"
    );
    assert!(
        unknown["remedy"].as_str().unwrap().contains("ssh-keyscan"),
        "{unknown}"
    );

    let host_key = fs::read_to_string(site.path("host.pub")).unwrap();
    let other = fs::read_to_string(site.path("user.pub")).unwrap();
    let host = format!("[127.0.0.1]:{port}");
    for (known_hosts, cause, remedy) in [
        (
            format!("{host} {other}"),
            "is not the one recorded",
            "find out why before you change known_hosts",
        ),
        (
            format!("@revoked * {host_key}{host} {host_key}"),
            "is revoked in",
            "give the host a new key",
        ),
    ] {
        fs::write(site.path("known_hosts"), known_hosts).unwrap();
        let findings = site.findings(&["data"]);
        let refused = found(&findings, "volume.data", "target").to_string();
        assert!(
            refused.contains(cause) && refused.contains(remedy),
            "{refused}"
        );
    }

    fs::write(site.path("known_hosts"), format!("127.0.0.1 {host_key}")).unwrap();
    let findings = site.findings(&["data"]);
    for check in [
        "target",
        "host_key",
        "login",
        "sftp",
        "round_trip",
        "writable",
        "throughput",
    ] {
        is(&findings, "volume.data", check, "ok");
    }
    let figures = |check| &found(&findings, "volume.data", check)["figures"];
    assert!(figures("throughput")["bytes_per_second"].as_u64().unwrap() > 0);
    assert!(figures("round_trip")["seconds"].as_f64().unwrap() > 0.0);
    let extensions = figures("sftp")["extensions"].as_array().unwrap();
    assert!(extensions.contains(&Value::from("fsync@openssh.com")));
    assert!(figures("target_room")["free_bytes"].as_u64().unwrap() > 0);
    assert!(is_empty(&site.path("mirror")));
}

#[test]
fn the_users_own_ssh_is_tried() {
    let site = Site::new();
    site.make_server();
    let path = site.0.path().display();
    // no port is needed: the server is at the end of a pipe
    let config = format!(
        "ProxyCommand /usr/sbin/sshd -i -f {path}/sshd_config\nHostKeyAlias alias\n\
         UserKnownHostsFile {path}/known_hosts\nIdentityFile {path}/user\nIdentityAgent none\n"
    );
    fs::write(site.path("ssh_config"), config).unwrap();
    let host_key = fs::read_to_string(site.path("host.pub")).unwrap();
    fs::write(site.path("known_hosts"), format!("alias {host_key}")).unwrap();
    site.configure(&format!(
        "target = \"ssh://root@the-mirror{path}/mirror\"\nssh_program = \"/usr/bin/ssh\"\n\
         ssh_config = \"{path}/ssh_config\""
    ));
    let findings = site.findings(&["data"]);
    for check in [
        "target",
        "login",
        "sftp",
        "writable",
        "throughput",
        "pairing",
    ] {
        is(&findings, "volume.data", check, "ok");
    }
    fs::remove_file(site.path("known_hosts")).unwrap();
    let refused = site.findings(&["data"]);
    is(&refused, "volume.data", "target", "problem");
    let refused = found(&refused, "volume.data", "target");
    assert!(
        refused["causes"][0]
            .as_str()
            .unwrap()
            .contains("Host key verification"),
        "{refused}"
    );
}

#[test]
fn a_directory_of_another_volume_is_a_problem() {
    let site = Site::new();
    site.configure(&format!("target = \"{}\"", site.path("mirror").display()));
    let config = site.path("aim.toml");
    aim(&["init", "volume.data", "-c", text(&config)]).exits(0);
    is(&site.findings(&["data"]), "volume.data", "pairing", "ok");
    is(&site.findings(&["data"]), "volume.data", "identity", "ok");
    fs::remove_dir_all(site.path("journal")).unwrap();
    let findings = site.findings(&["data"]);
    is(&findings, "volume.data", "pairing", "problem");
}

#[test]
fn a_running_aim_is_no_hindrance() {
    let host = Host::new(&Series::new());
    let daemon = Daemon::start_file(&host, Path::new(env!("CARGO_BIN_EXE_aim")));
    let said = host.aim(&["doctor", "--json"]).json();
    let findings = said["findings"].as_array().unwrap();
    let running = found(findings, "host", "daemon");
    assert_eq!(running["figures"]["pid"], daemon.pid());
    is(findings, "mirror.data", "disk", "ok");
    is(findings, "mirror.data", "identity", "ok");
    // no volume: nothing is asked of the driver
    assert!(!findings.iter().any(|finding| finding["check"] == "ublk"));
    assert_eq!(daemon.stop(), 0);
}

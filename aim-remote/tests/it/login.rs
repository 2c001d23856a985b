//! Host keys and credentials against a real server.

use std::fs;

use aim_remote::file_io::run_blocking;
use aim_remote::ssh::{Credential, Passphrase, SshTarget};
use aim_remote::transport::{Remedy, SftpTransport, Transport, TransportError};

use crate::agent::Agent;
use crate::sshd::{Sshd, keygen};

/// Logs in and lists the server's folder.
fn log_in(target: SshTarget) -> Result<(), TransportError> {
    let transport = SftpTransport::new(target, "/");
    run_blocking(|_| async move { transport.list("").await.map(drop) }).unwrap()
}

#[test]
fn an_unknown_host_key_is_refused() {
    let sshd = Sshd::start();
    for known_hosts in [
        String::new(),
        format!("[127.0.0.1]:1 {}", sshd.public_key("user")),
    ] {
        sshd.write_known_hosts(&known_hosts);
        let refused = log_in(sshd.target()).unwrap_err();
        let TransportError::HostKeyUnknown { offered, .. } = &refused else {
            panic!("{refused}");
        };
        assert!(offered.starts_with("ssh-ed25519 SHA256:"), "{offered}");
        assert_eq!(refused.remedy(), Remedy::Operator);
    }
    fs::remove_file(sshd.path("known_hosts")).unwrap();
    let refused = log_in(sshd.target()).unwrap_err();
    assert!(
        matches!(refused, TransportError::HostKeyUnknown { .. }),
        "{refused}"
    );
}

#[test]
fn a_changed_host_key_is_refused() {
    let sshd = Sshd::start();
    sshd.record_host_key("user");
    let refused = log_in(sshd.target()).unwrap_err();
    assert!(
        matches!(refused, TransportError::HostKeyChanged { line: 1, .. }),
        "{refused}"
    );
}

#[test]
fn a_revoked_host_key_is_refused() {
    let sshd = Sshd::start();
    let (host, key) = (sshd.host(), sshd.public_key("host_ed25519"));
    sshd.write_known_hosts(&format!("{host} {key}@revoked {host} {key}"));
    let refused = log_in(sshd.target()).unwrap_err();
    assert!(
        matches!(refused, TransportError::HostKeyRevoked { line: 2, .. }),
        "{refused}"
    );
}

#[test]
fn the_recorded_key_is_asked_for_where_a_server_has_several() {
    let sshd = Sshd::start();
    sshd.add_host_key("host_rsa", "rsa");
    sshd.record_host_key("host_rsa");
    log_in(sshd.target()).unwrap();
}

#[test]
fn key_files_of_all_kinds_log_in() {
    let sshd = Sshd::start();
    for (kind, passphrase) in [("rsa", ""), ("ecdsa", ""), ("ed25519", "open sesame")] {
        let path = sshd.authorize(&format!("user_{kind}"), kind, passphrase);
        let passphrase = (!passphrase.is_empty()).then(|| Passphrase::new(passphrase));
        let credential = Credential::KeyFile { path, passphrase };
        log_in(sshd.target_with(vec![credential])).unwrap();
    }
}

#[test]
fn refused_credentials_are_named() {
    let sshd = Sshd::start();
    keygen(sshd.path("").as_path(), "stranger", "ed25519", "");
    let locked = sshd.authorize("locked", "ed25519", "open sesame");
    let file = |name: &str, passphrase: Option<&str>| Credential::KeyFile {
        path: sshd.path(name),
        passphrase: passphrase.map(Passphrase::new),
    };
    let credentials = vec![
        file("stranger", None),
        file("missing", None),
        file("locked", None),
        file("locked", Some("wrong")),
        Credential::Agent {
            socket: Some(sshd.path("no.socket")),
        },
    ];
    let refused = log_in(sshd.target_with(credentials)).unwrap_err();
    let TransportError::AuthenticationRefused { tried, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(tried.len(), 5, "{refused}");
    assert!(
        tried[0].contains("stranger") && tried[0].ends_with("refused"),
        "{refused}"
    );
    assert!(tried[1].contains("missing"), "{refused}");
    assert!(tried[2].contains("no passphrase"), "{refused}");
    assert!(tried[3].contains("with this passphrase"), "{refused}");
    assert!(tried[4].contains("agent"), "{refused}");
    // and a good one after bad ones is found
    let credentials = vec![
        file("stranger", None),
        Credential::KeyFile {
            path: locked,
            passphrase: Some(Passphrase::new("open sesame")),
        },
    ];
    log_in(sshd.target_with(credentials)).unwrap();
}

#[test]
fn an_agent_logs_in_with_the_key_that_fits() {
    let sshd = Sshd::start();
    let agent = Agent::start(sshd.path("").as_path());
    let credential = || Credential::Agent {
        socket: Some(agent.socket.clone()),
    };
    let empty = log_in(sshd.target_with(vec![credential()])).unwrap_err();
    assert!(empty.to_string().contains("holds no key"), "{empty}");
    keygen(sshd.path("").as_path(), "stranger", "ed25519", "");
    agent.add(&sshd.path("stranger"));
    agent.add(&sshd.authorize("user_rsa", "rsa", ""));
    log_in(sshd.target_with(vec![credential()])).unwrap();
}

#[test]
fn nobody_there_is_unreachable() {
    let sshd = Sshd::start();
    let refused = log_in(SshTarget {
        port: Some(1),
        ..sshd.target()
    })
    .unwrap_err();
    assert!(
        matches!(refused, TransportError::Unreachable { .. }),
        "{refused}"
    );
    assert_eq!(refused.remedy(), Remedy::Retry);
}

#[test]
fn a_server_without_sftp_is_refused() {
    let sshd = Sshd::with_subsystem("/bin/false");
    let refused = log_in(sshd.target()).unwrap_err();
    assert!(
        matches!(refused, TransportError::ConnectionLost { .. }),
        "{refused}"
    );
    let config = fs::read_to_string(sshd.path("sshd_config")).unwrap();
    fs::write(
        sshd.path("sshd_config"),
        config.replace("Subsystem sftp", "Subsystem other"),
    )
    .unwrap();
    let refused = log_in(sshd.target()).unwrap_err();
    assert!(
        matches!(refused, TransportError::ServerLacks { .. }),
        "{refused}"
    );
}

#[test]
fn a_server_that_cannot_sync_is_refused() {
    for lacks in ["fsync", "posix-rename@openssh.com"] {
        let request = lacks.split('@').next().unwrap();
        let sshd = Sshd::with_subsystem(&format!("internal-sftp -P {request}"));
        let refused = log_in(sshd.target()).unwrap_err();
        let TransportError::ServerLacks { extension, .. } = &refused else {
            panic!("{refused}");
        };
        assert!(extension.contains(request), "{refused}");
    }
}

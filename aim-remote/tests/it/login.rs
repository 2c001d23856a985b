//! Credentials against a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aim_remote::file_io::run_blocking;
use aim_remote::ssh::{Credential, Passphrase, SshProgram, SshTarget, Way};
use aim_remote::transport::{Remedy, SftpTransport, Transport, TransportError};

use crate::agent::Agent;
use crate::site::eventually;
use crate::sshd::{Sshd, keygen, sign_user_key, user};

/// Logs in and lists the server's folder.
pub(crate) fn log_in(target: SshTarget) -> Result<(), TransportError> {
    let transport = SftpTransport::new(target, "/");
    run_blocking(|_| async move { transport.list("").await.map(drop) }).unwrap()
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

/// A key file of the server's folder.
fn file(sshd: &Sshd, name: &str, passphrase: Option<Passphrase>) -> Credential {
    Credential::KeyFile {
        path: sshd.path(name),
        passphrase,
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_passphrase_comes_from_a_file_that_nobody_else_reads() {
    let sshd = Sshd::start();
    sshd.authorize("locked", "ed25519", "open sesame");
    let secret = sshd.path("passphrase");
    let with_file = || {
        let passphrase = Passphrase::in_file(&secret);
        log_in(sshd.target_with(vec![file(&sshd, "locked", Some(passphrase))]))
    };
    let missing = with_file().unwrap_err().to_string();
    assert!(missing.contains("can't be unlocked"), "{missing}");
    fs::write(&secret, "open sesame\n").unwrap();
    set_mode(&secret, 0o644);
    let open = with_file().unwrap_err().to_string();
    assert!(open.contains("passphrase has mode 644"), "{open}");
    set_mode(&secret, 0o600);
    with_file().unwrap();
    fs::write(&secret, "wrong\n").unwrap();
    let wrong = with_file().unwrap_err().to_string();
    assert!(wrong.contains("with this passphrase"), "{wrong}");
}

#[test]
fn a_private_key_that_others_may_read_is_not_used() {
    let sshd = Sshd::start();
    set_mode(&sshd.path("user"), 0o640);
    for target in [sshd.target(), sshd.target_by_program()] {
        let refused = log_in(target).unwrap_err();
        let is_auth = matches!(refused, TransportError::AuthenticationRefused { .. });
        assert!(is_auth, "{refused}");
    }
    let refused = log_in(sshd.target()).unwrap_err().to_string();
    assert!(refused.contains("user has mode 640"), "{refused}");
}

#[test]
fn a_certificate_beside_a_key_logs_in() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    keygen(&folder, "authority", "ed25519", "");
    sshd.trust_user_authority("authority");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("certified_{kind}");
        keygen(&folder, &name, kind, "");
        let login = || log_in(sshd.target_with(vec![file(&sshd, &name, None)]));
        // the key alone is nobody's
        login().unwrap_err();
        sign_user_key(&folder, "authority", &name, &user());
        login().unwrap();
    }
    // a certificate that is refused leaves the key its chance
    let path = sshd.authorize("known", "ed25519", "");
    sign_user_key(&folder, "authority", "known", "nobody-else");
    log_in(sshd.target_with(vec![file(&sshd, "known", None)])).unwrap();
    fs::remove_file(path.with_extension("pub")).unwrap();
    keygen(&folder, "stranger", "ed25519", "");
    sign_user_key(&folder, "authority", "stranger", "nobody-else");
    let refused = log_in(sshd.target_with(vec![file(&sshd, "stranger", None)])).unwrap_err();
    let TransportError::AuthenticationRefused { tried, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(tried.len(), 2, "{refused}");
    assert!(tried[0].contains("stranger-cert.pub"), "{refused}");
    fs::copy(sshd.path("known-cert.pub"), sshd.path("stranger-cert.pub")).unwrap();
    let refused = log_in(sshd.target_with(vec![file(&sshd, "stranger", None)])).unwrap_err();
    assert!(
        refused.to_string().contains("is for another key"),
        "{refused}"
    );
}

#[test]
fn an_agent_logs_in_with_a_certificate() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    let agent = Agent::start(&folder);
    keygen(&folder, "authority", "ed25519", "");
    sshd.trust_user_authority("authority");
    keygen(&folder, "certified", "rsa", "");
    sign_user_key(&folder, "authority", "certified", &user());
    agent.add(&sshd.path("certified"));
    let socket = Some(agent.socket.clone());
    log_in(sshd.target_with(vec![Credential::Agent { socket }])).unwrap();
}

#[test]
fn refused_credentials_are_named() {
    let sshd = Sshd::start();
    keygen(sshd.path("").as_path(), "stranger", "ed25519", "");
    let locked = sshd.authorize("locked", "ed25519", "open sesame");
    let credentials = vec![
        file(&sshd, "stranger", None),
        file(&sshd, "missing", None),
        file(&sshd, "locked", None),
        file(&sshd, "locked", Some(Passphrase::new("wrong"))),
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
        file(&sshd, "stranger", None),
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
fn a_survey_tells_what_the_line_and_the_server_are_like() {
    let sshd = Sshd::start();
    for (target, is_ours) in [(sshd.target(), true), (sshd.target_by_program(), false)] {
        let transport = SftpTransport::new(target, "/run");
        let survey = run_blocking(|_| async { transport.survey().await })
            .unwrap()
            .unwrap();
        assert!(survey.free_bytes.unwrap() > 0);
        for extension in ["fsync@openssh.com", "posix-rename@openssh.com"] {
            assert!(survey.extensions.iter().any(|name| name == extension));
        }
        assert_eq!(survey.host_key.is_some(), is_ours);
        let login = survey.login.unwrap_or_default();
        assert_eq!(login.contains("user (SHA256:"), is_ours, "{login}");
    }
}

#[test]
fn nobody_there_is_unreachable() {
    let sshd = Sshd::start();
    for target in [sshd.target(), sshd.target_by_program()] {
        let port = Some(1);
        let refused = log_in(SshTarget { port, ..target }).unwrap_err();
        let is_far = matches!(refused, TransportError::Unreachable { .. });
        assert!(is_far, "{refused}");
        assert!(refused.to_string().contains("refused"), "{refused}");
        assert_eq!(refused.remedy(), Remedy::Retry);
    }
}

#[test]
fn a_server_without_sftp_is_refused() {
    let sshd = Sshd::with_subsystem("/bin/false");
    let targets = || [sshd.target(), sshd.target_by_program()];
    for target in targets() {
        let refused = log_in(target).unwrap_err();
        let is_lost = matches!(refused, TransportError::ConnectionLost { .. });
        assert!(is_lost, "{refused}");
    }
    sshd.reconfigure("Subsystem sftp", "Subsystem other");
    for target in targets() {
        let refused = log_in(target).unwrap_err();
        let is_lack = matches!(refused, TransportError::ServerLacks { .. });
        assert!(is_lack, "{refused}");
    }
}

#[test]
fn a_server_that_cannot_sync_is_refused() {
    for (subsystem, lacks) in [
        ("internal-sftp -P fsync", "fsync@openssh.com"),
        ("internal-sftp -P posix-rename", "posix-rename@openssh.com"),
        (
            "internal-sftp -p realpath,opendir,readdir,open,close,posix-rename",
            "fsync@openssh.com",
        ),
    ] {
        let sshd = Sshd::with_subsystem(subsystem);
        let refused = log_in(sshd.target()).unwrap_err();
        let TransportError::ServerLacks { extension, .. } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(*extension, lacks, "{refused}");
    }
}

#[test]
fn what_the_program_says_is_in_the_error() {
    let sshd = Sshd::start();
    let config = sshd.target_by_program();
    sshd.append("ssh_config", "NoSuchOption yes\n");
    let refused = log_in(config).unwrap_err().to_string();
    assert!(
        refused.contains("Bad configuration option: nosuchoption"),
        "{refused}"
    );
    let target = SshTarget {
        way: Way::Program(SshProgram {
            path: sshd.path("no-such-program"),
            config: None,
        }),
        ..sshd.target()
    };
    let refused = log_in(target).unwrap_err();
    assert_eq!(refused.remedy(), Remedy::Operator);
    assert!(
        refused
            .to_string()
            .contains("no-such-program: can't be run"),
        "{refused}"
    );
}

#[test]
fn the_program_finds_the_host_by_its_own_configuration() {
    let sshd = Sshd::start();
    let mut target = sshd.target_by_program();
    let port = target.port.take().unwrap();
    sshd.append(
        "ssh_config",
        &format!("Host the-mirror\nHostName 127.0.0.1\nPort {port}\nHostKeyAlias alias\n"),
    );
    let line = format!("alias {}", sshd.public_key("host_ed25519"));
    sshd.write_known_hosts(&line);
    target.host = "the-mirror".to_owned();
    log_in(target).unwrap();
}

#[test]
fn the_program_and_what_it_started_end_with_the_connection() {
    let sshd = Sshd::start();
    let target = sshd.target_by_program();
    let folder = sshd.path("").display().to_string();
    // it stays when its line is cut, and when ssh is killed
    let proxy = format!("{folder}/proxy %h %p");
    let script = format!(
        "#!/bin/bash\necho $$ >> {folder}/ssh.pids\ntrap '' TERM HUP PIPE\n\
         exec 3<>/dev/tcp/$1/$2\ncat <&3 &\ncat >&3\nexec sleep 1000\n"
    );
    fs::write(sshd.path("proxy"), script).unwrap();
    set_mode(&sshd.path("proxy"), 0o755);
    sshd.append("ssh_config", &format!("ProxyCommand {proxy}\n"));
    let transport = SftpTransport::new(target, "/");
    run_blocking(|_| async {
        transport.list("").await.unwrap();
        assert_eq!(sshd.ssh_processes().len(), 2);
    })
    .unwrap();
    drop(transport);
    eventually("all are gone and reaped", || {
        sshd.ssh_processes().is_empty()
    });
}

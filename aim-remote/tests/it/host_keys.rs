//! Which host keys are accepted: by the built-in client, and by OpenSSH's own, which must agree.

use aim_remote::ssh::SshTarget;
use aim_remote::transport::{Remedy, TransportError};

use crate::login::log_in;
use crate::sshd::{Sshd, keygen, sign_host_key};

/// Whether both clients accept what the server offers.
#[track_caller]
fn both_accept(sshd: &Sshd, what: &str) -> bool {
    let built_in = log_in(sshd.target());
    let openssh = log_in(sshd.target_by_program());
    assert_eq!(
        built_in.is_ok(),
        openssh.is_ok(),
        "{what}\nbuilt in: {built_in:?}\nOpenSSH: {openssh:?}"
    );
    if let Err(error) = &openssh {
        let is_refusal = matches!(error, TransportError::HostKeyRefused { .. });
        assert!(is_refusal, "{what}: {error}");
    }
    for error in [built_in, openssh].into_iter().filter_map(Result::err) {
        assert_eq!(error.remedy(), Remedy::Operator, "{error}");
    }
    log_in(sshd.target()).is_ok()
}

#[test]
fn the_built_in_check_is_as_strict_as_openssh() {
    let sshd = Sshd::start();
    keygen(sshd.path("").as_path(), "other", "ed25519", "");
    keygen(sshd.path("").as_path(), "rsa", "rsa", "");
    let (host, key) = (sshd.host(), sshd.public_key("host_ed25519"));
    let (other, rsa) = (sshd.public_key("other"), sshd.public_key("rsa"));
    let wildcard = host.replace("0.1]", "0.*]");
    sshd.write_known_hosts(&format!("{host} {key}"));
    let hashed = sshd.hash_known_hosts();
    let cases = [
        ("empty", String::new(), false),
        ("the key", format!("{host} {key}"), true),
        ("wrong key", format!("{host} {other}"), false),
        ("hashed host", hashed, true),
        (
            "revoked, and plain for the same key",
            format!("{host} {key}@revoked {host} {key}"),
            false,
        ),
        (
            "revoked for all hosts",
            format!("@revoked * {key}{host} {key}"),
            false,
        ),
        (
            "another key revoked",
            format!("@revoked {host} {other}{host} {key}"),
            true,
        ),
        (
            "two keys of one type, the right one second",
            format!("{host} {other}{host} {key}"),
            true,
        ),
        ("wildcard", format!("{wildcard} {key}"), true),
        ("tabs", format!("{host}\t{}", key.replace(' ', "\t")), true),
        ("bare host, port not 22", format!("127.0.0.1 {key}"), true),
        ("bare host, wrong key", format!("127.0.0.1 {other}"), false),
        ("only another type", format!("{host} {rsa}"), false),
        ("another host", format!("[127.0.0.1]:1 {key}"), false),
        (
            "all but this host",
            format!("!{host},!127.0.0.1,* {key}"),
            false,
        ),
        (
            "the key as an authority only",
            format!("@cert-authority {host} {key}"),
            false,
        ),
        (
            "a line that says nothing",
            format!("nonsense\n{host} {key}"),
            true,
        ),
    ];
    for (what, text, is_accepted) in cases {
        sshd.write_known_hosts(&text);
        assert_eq!(both_accept(&sshd, what), is_accepted, "{what}");
    }
}

#[test]
fn a_host_certificate_counts_if_its_authority_does() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    for name in ["authority", "stranger"] {
        keygen(&folder, name, "ed25519", "");
    }
    let (host, key) = (sshd.host(), sshd.public_key("host_ed25519"));
    let authority = format!("@cert-authority {host} {}", sshd.public_key("authority"));
    let revoked = format!("@revoked * {}", sshd.public_key("authority"));
    let stranger = format!("@cert-authority {host} {}", sshd.public_key("stranger"));
    let here = ["-n", "127.0.0.1"];
    let elsewhere = ["-n", "mirror.example"];
    let expired = ["-n", "127.0.0.1", "-V", "20200101:20200102"];
    let future = ["-n", "127.0.0.1", "-V", "20900101:20910101"];
    let optional = ["-n", "127.0.0.1", "-O", "critical:unheard-of=1"];
    sshd.add_host_certificate();
    for (what, options, known_hosts, is_accepted) in [
        ("of this host", &here[..], authority.clone(), true),
        ("of another host", &elsewhere, authority.clone(), false),
        ("expired", &expired, authority.clone(), false),
        ("not valid yet", &future, authority.clone(), false),
        ("with critical options", &optional, authority.clone(), false),
        (
            "of an authority not recorded",
            &here,
            stranger.clone(),
            false,
        ),
        (
            "expired, and its key recorded",
            &expired,
            format!("{authority}{host} {key}"),
            true,
        ),
        (
            "of a revoked authority",
            &here,
            format!("{authority}{revoked}"),
            false,
        ),
        (
            "with a revoked key",
            &here,
            format!("{authority}@revoked * {key}"),
            false,
        ),
    ] {
        sign_host_key(&folder, "authority", "host_ed25519", options);
        sshd.write_known_hosts(&known_hosts);
        assert_eq!(both_accept(&sshd, what), is_accepted, "{what}");
    }
    // a user's certificate proves no host
    sign_user_key_as_host(&sshd);
    sshd.write_known_hosts(&authority);
    assert!(!both_accept(&sshd, "of a user"));
}

fn sign_user_key_as_host(sshd: &Sshd) {
    crate::sshd::sign_user_key(&sshd.path(""), "authority", "host_ed25519", "127.0.0.1");
}

#[test]
fn a_certificate_of_every_kind_of_key_is_understood() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    for (authority, kind) in [("ca_rsa", "rsa"), ("ca_ecdsa", "ecdsa")] {
        keygen(&folder, authority, kind, "");
        let host_key = format!("host_{kind}");
        sshd.only_host_key(&host_key, kind);
        sign_host_key(&folder, authority, &host_key, &["-n", "127.0.0.1"]);
        let line = format!("@cert-authority * {}", sshd.public_key(authority));
        sshd.write_known_hosts(&line);
        assert!(both_accept(&sshd, kind), "{kind}");
    }
}

#[test]
fn a_certificate_that_is_signed_with_sha1_is_refused() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    keygen(&folder, "authority", "rsa", "");
    sshd.add_host_certificate();
    let options = ["-t", "ssh-rsa", "-n", "127.0.0.1"];
    sign_host_key(&folder, "authority", "host_ed25519", &options);
    let line = format!("@cert-authority * {}", sshd.public_key("authority"));
    sshd.write_known_hosts(&line);
    assert!(!both_accept(&sshd, "SHA-1"));
    let refused = log_in(sshd.target()).unwrap_err().to_string();
    assert!(
        refused.contains("ssh-rsa, which is not accepted"),
        "{refused}"
    );
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let sshd = Sshd::start();
    let folder = sshd.path("");
    keygen(&folder, "authority", "ed25519", "");
    sshd.add_host_certificate();
    let authority = sshd.public_key("authority");
    sshd.write_known_hosts(&format!("# ours\n@cert-authority * {authority}"));
    for (options, expected) in [
        (
            &["-n", "mirror.example"][..],
            "it is for mirror.example, not for 127.0.0.1",
        ),
        // OpenSSH takes one without names for every host
        (&[], "it is for no host, not for 127.0.0.1"),
        (
            &["-n", "127.0.0.1", "-V", "20200101:20200102"],
            "it expired",
        ),
    ] {
        sign_host_key(&folder, "authority", "host_ed25519", options);
        let refused = log_in(sshd.target()).unwrap_err();
        let TransportError::HostCertificate {
            line: 2, reason, ..
        } = &refused
        else {
            panic!("{refused}");
        };
        assert!(reason.contains(expected), "{refused}");
    }
}

/// Refusals by a target whose host key is not the recorded one.
fn refusal(target: SshTarget) -> TransportError {
    log_in(target).unwrap_err()
}

#[test]
fn an_unknown_host_key_is_named() {
    let sshd = Sshd::start();
    sshd.write_known_hosts("");
    let unknown = refusal(sshd.target());
    let TransportError::HostKeyUnknown { offered, .. } = &unknown else {
        panic!("{unknown}");
    };
    assert!(offered.starts_with("ssh-ed25519 SHA256:"), "{offered}");
    std::fs::remove_file(sshd.path("known_hosts")).unwrap();
    let unknown = refusal(sshd.target());
    let is_unknown = matches!(unknown, TransportError::HostKeyUnknown { .. });
    assert!(is_unknown, "{unknown}");
    let by_program = refusal(sshd.target_by_program()).to_string();
    assert!(
        by_program.contains("No ED25519 host key is known"),
        "{by_program}"
    );
}

#[test]
fn a_changed_host_key_is_named_with_the_line_that_it_contradicts() {
    let sshd = Sshd::start();
    sshd.record_host_key("user");
    let changed = refusal(sshd.target());
    let is_changed = matches!(changed, TransportError::HostKeyChanged { line: 1, .. });
    assert!(is_changed, "{changed}");
    let by_program = refusal(sshd.target_by_program()).to_string();
    assert!(by_program.contains("known_hosts:1"), "{by_program}");
}

#[test]
fn a_revoked_host_key_is_named_with_its_mark() {
    let sshd = Sshd::start();
    let (host, key) = (sshd.host(), sshd.public_key("host_ed25519"));
    sshd.write_known_hosts(&format!("{host} {key}@revoked {host} {key}"));
    let revoked = refusal(sshd.target());
    let is_revoked = matches!(revoked, TransportError::HostKeyRevoked { line: 2, .. });
    assert!(is_revoked, "{revoked}");
    let by_program = refusal(sshd.target_by_program()).to_string();
    assert!(by_program.contains("revoked"), "{by_program}");
}

#[test]
fn the_recorded_key_is_asked_for_where_a_server_has_several() {
    let sshd = Sshd::start();
    sshd.add_host_key("host_rsa", "rsa");
    sshd.record_host_key("host_rsa");
    log_in(sshd.target()).unwrap();
}

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJukqKXpEK1fnQnMjMRmmxRUfiDmV0icf54q6V8dLYDM";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF96+KkLsmC35iUNtzAAA0Xnt6c9NF8SQWYcr/lXo9G9";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsdyGll3c/pbuBez85q7lnov/A+35dIjBcBR0ayj\
O56NPS3rqon7UDB9uDqOit2EJ34yN2ws/Ny0KNr8gww46Roi3lpeB9uwd6neNMQBiZxQ1MfyFDQwQCHpv3RExGwVRQ+K2Roro\
ED9v+V23E+rxSp+KSlkJe6p+961ax/PdjixAPcFT5vC956tXKJYPjm/lsTM6uXP+FyusYJhZbZ6Y0oko6+52KfbiX3McB0Kx2\
3FuXtqHLdxB7ZyAyIO45cBTXSnkR3K8kHhkpi6s3SMvpzJrddGcKpYgmHXqWrMiF0hL4nhkDQQzwVz3BdalVBIf3Ffo1FLbc4\
9lMbU3UYoAj";
/// `[127.0.0.1]:2299` as `ssh-keygen -H` hashed it.
const HASHED: &str = "|1|/3AjxVG+mQZ+mIgiClCyQRLkjK4=|Tf7A8ScTl5hOiX1ih5s0ov+zi0Q=";
const HOST: &str = "[127.0.0.1]:2299";

fn known(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add("known_hosts".into(), text).unwrap();
    known
}

fn judge(text: &str, host: &str, port: u16, key: &str) -> Verdict {
    let key = PublicKey::from_openssh(key).unwrap();
    known(text).judge(host, port, &key)
}

fn changed(line: usize) -> Verdict {
    let file = "known_hosts".into();
    Verdict::Changed { file, line }
}

fn revoked(line: usize) -> Verdict {
    let file = "known_hosts".into();
    Verdict::Revoked { file, line }
}

/// What OpenSSH 9.2 does with the same files under `StrictHostKeyChecking yes`.
#[test]
fn agrees_with_openssh() {
    let cases = [
        ("empty", String::new(), Verdict::Unknown),
        ("the key", format!("{HOST} {A}"), Verdict::Accepted),
        (
            "a comment",
            format!("{HOST} {A} me@there"),
            Verdict::Accepted,
        ),
        ("wrong key", format!("{HOST} {B}"), changed(1)),
        ("hashed host", format!("{HASHED} {A}"), Verdict::Accepted),
        (
            "revoked, and plain for the same key",
            format!("{HOST} {A}\n@revoked {HOST} {A}"),
            revoked(2),
        ),
        (
            "revoked for all",
            format!("@revoked * {A}\n{HOST} {A}"),
            revoked(1),
        ),
        (
            "another key revoked",
            format!("@revoked {HOST} {B}\n{HOST} {A}"),
            Verdict::Accepted,
        ),
        (
            "two keys of one type, the right one second",
            format!("{HOST} {B}\n{HOST} {A}"),
            Verdict::Accepted,
        ),
        (
            "wildcard",
            format!("[127.0.0.*]:2299 {A}"),
            Verdict::Accepted,
        ),
        (
            "tabs",
            format!("{HOST}\t{}", A.replace(' ', "\t")),
            Verdict::Accepted,
        ),
        (
            "bare host, port not 22",
            format!("127.0.0.1 {A}"),
            Verdict::Accepted,
        ),
        (
            "bare host, another key",
            format!("127.0.0.1 {B}"),
            Verdict::Unknown,
        ),
        ("only another type", format!("{HOST} {RSA}"), changed(1)),
        (
            "another port",
            format!("[127.0.0.1]:2298 {A}"),
            Verdict::Unknown,
        ),
        ("negated", format!("!{HOST},* {A}"), Verdict::Accepted),
        (
            "negated with and without port",
            format!("!{HOST},!127.0.0.1,* {A}"),
            Verdict::Unknown,
        ),
        (
            "only an authority",
            format!("@cert-authority {HOST} {A}"),
            Verdict::Unknown,
        ),
        (
            "a line that says nothing",
            format!("# comment\n\nnonsense\n{HOST} {A}"),
            Verdict::Accepted,
        ),
    ];
    for (what, text, expected) in cases {
        assert_eq!(judge(&text, "127.0.0.1", 2299, A), expected, "{what}");
    }
}

#[test]
fn revocation_holds_with_and_without_port() {
    let text = format!("{HOST} {A}\n@revoked 127.0.0.1 {A}");
    assert_eq!(judge(&text, "127.0.0.1", 2299, A), revoked(2));
}

#[test]
fn default_port_and_case() {
    let text = format!("Mirror.Example.NET {A}");
    assert_eq!(judge(&text, "mirror.example.net", 22, A), Verdict::Accepted);
    assert_eq!(judge(&text, "MIRROR.example.net", 22, A), Verdict::Accepted);
    assert_eq!(judge(&text, "mirror.example.net", 22, B), changed(1));
}

#[test]
fn a_mark_that_is_not_understood_is_an_error() {
    for text in [
        "@revoked host ssh-ed25519 nonsense",
        "@revoked",
        &format!("@Revoked host {A}"),
        &format!("@unheard-of host {A}"),
    ] {
        let added = KnownHosts::default().add("known_hosts".into(), text);
        let unreadable = matches!(added, Err(TransportError::KnownHostsUnreadable { .. }));
        assert!(unreadable, "{text}");
    }
}

#[test]
fn missing_files_are_empty_and_unreadable_ones_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let known = KnownHosts::read(&[temp.path().join("missing")]).unwrap();
    assert!(known.records.is_empty());
    // a folder opens, but does not read
    let unreadable = KnownHosts::read(&[temp.path().to_owned()]).unwrap_err();
    assert!(matches!(
        unreadable,
        TransportError::KnownHostsUnreadable { .. }
    ));
}

#[test]
fn recorded_algorithms_come_first_and_sha1_never() {
    let offered = known(&format!("{HOST} {RSA}")).algorithms("127.0.0.1", 2299);
    assert!(matches!(offered[0], Algorithm::Rsa { hash: Some(_) }));
    assert!(matches!(offered[1], Algorithm::Rsa { hash: Some(_) }));
    assert_eq!(offered.len(), ALGORITHMS.len());
    assert!(!offered.contains(&Algorithm::Rsa { hash: None }));
    assert_eq!(known("").algorithms("h", 22), ALGORITHMS);
}

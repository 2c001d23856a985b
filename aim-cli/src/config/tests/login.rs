//! Who makes the connection to a target, and with which key.

use super::{GOOD, problems};
use crate::config::{Key, Login, load};

#[test]
fn login_belongs_to_ssh_and_only_there() {
    let shown = problems(&GOOD.replace("key = \"/etc/aim/key\"\n", ""));
    assert!(shown.contains("`key` is missing"), "{shown}");
    let shown = problems(&GOOD.replace("ssh://aim@mirror/srv", "/srv"));
    assert!(
        shown.contains("`key` has no meaning for a target that is a directory"),
        "{shown}"
    );
}

#[test]
fn each_way_to_log_in_has_its_keys() {
    let login = |lines: &str| {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aim.toml");
        let old = "key = \"/etc/aim/key\"\nknown_hosts = \"/etc/aim/known_hosts\"\n";
        let text = GOOD.replace(old, lines);
        std::fs::write(&path, &text).unwrap();
        match load(&path) {
            Ok(config) => config.volumes["data"].targets[0].login.clone().unwrap(),
            Err(_) => panic!("{}", problems(&text)),
        }
    };
    let file = |passphrase: Option<&str>| Key::File {
        path: "/k".into(),
        passphrase: passphrase.map(Into::into),
    };
    let agent = |socket: Option<&str>| Key::Agent {
        socket: socket.map(Into::into),
    };
    for (lines, expected) in [
        ("key = \"/k\"\n", file(None)),
        (
            "key = \"/k\"\nkey_passphrase_file = \"/p\"\n",
            file(Some("/p")),
        ),
        ("key = \"agent\"\n", agent(None)),
        (
            "key = \"agent\"\nagent_socket = \"/s\"\n",
            agent(Some("/s")),
        ),
    ] {
        let known_hosts = "/h".into();
        let key = expected;
        let expected = Login::BuiltIn { key, known_hosts };
        assert_eq!(login(&format!("{lines}known_hosts = \"/h\"\n")), expected);
    }
    for (lines, config) in [
        ("ssh_program = \"/usr/bin/ssh\"\n", None),
        (
            "ssh_program = \"/usr/bin/ssh\"\nssh_config = \"/c\"\n",
            Some("/c".into()),
        ),
    ] {
        let path = "/usr/bin/ssh".into();
        assert_eq!(login(lines), Login::Program { path, config });
    }
}

#[test]
fn keys_of_another_way_to_log_in_are_refused() {
    for (line, expected) in [
        (
            "key_passphrase_file = \"p\"",
            "`key_passphrase_file` is `p`, must be an absolute",
        ),
        (
            "agent_socket = \"/s\"",
            "`agent_socket` has no meaning without `key = \"agent\"`",
        ),
        (
            "ssh_config = \"/c\"",
            "`ssh_config` has no meaning without `ssh_program`",
        ),
        (
            "ssh_program = \"/usr/bin/ssh\"",
            "`key` has no meaning with `ssh_program`",
        ),
        (
            "ssh_program = \"/usr/bin/ssh\"",
            "`known_hosts` has no meaning with `ssh_program`",
        ),
    ] {
        let shown = problems(&format!("{GOOD}{line}\n"));
        assert!(shown.contains(expected), "{line}: {shown}");
    }
    let agent = GOOD.replace("/etc/aim/key\"", "agent\"\nkey_passphrase_file = \"/p\"");
    let shown = problems(&agent);
    let expected = "`key_passphrase_file` has no meaning with `key = \"agent\"`";
    assert!(shown.contains(expected), "{shown}");
}

//! What the last words of OpenSSH's `ssh` mean.

use super::target::SshTarget;
use crate::transport::TransportError;

/// The error that a program which ended with these words on stderr stands for; `reason` is what
/// its stream told.
pub(super) fn meaning(target: &SshTarget, stderr: &[u8], reason: &str) -> TransportError {
    let said = readable(stderr);
    let host = target.address();
    let says = |text: &str| said.contains(text);
    if says("Host key verification failed") {
        return TransportError::HostKeyRefused { host, said };
    }
    if says("Permission denied (") || says("Too many authentication failures") {
        return TransportError::AuthenticationRefused {
            host,
            user: target.user.clone(),
            tried: vec![format!("ssh says: {said}")],
        };
    }
    if says("subsystem request failed") {
        return TransportError::ServerLacks {
            host,
            extension: "the sftp subsystem",
            need: "files are carried by SFTP",
        };
    }
    // with these it was not connected yet
    if says("ssh: connect to host") || says("ssh: Could not resolve hostname") {
        return TransportError::Unreachable { host, reason: said };
    }
    let reason = match said.is_empty() {
        true => format!("{reason}; ssh ended and said nothing"),
        false => format!("{reason}; ssh says: {said}"),
    };
    TransportError::ConnectionLost { host, reason }
}

/// On one line, without frames and without what a terminal would obey.
fn readable(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| {
        let line = line.replace(char::is_control, " ");
        line.trim().to_owned()
    });
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('@'))
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{SshProgram, Timeouts, Way};

    fn meaning_of(stderr: &str) -> TransportError {
        let program = SshProgram {
            path: "/usr/bin/ssh".into(),
            config: None,
        };
        let target = SshTarget {
            host: "mirror".to_owned(),
            port: None,
            user: "aim".to_owned(),
            way: Way::Program(program),
            timeouts: Timeouts::default(),
        };
        meaning(&target, stderr.as_bytes(), "the stream ended")
    }

    #[test]
    fn words_of_openssh_have_their_kind() {
        let unknown = meaning_of(
            "No ED25519 host key is known for mirror and you have requested strict checking.\r\n\
             Host key verification failed.\r\n",
        );
        assert_eq!(
            unknown.to_string(),
            "ssh does not accept the host key of mirror: No ED25519 host key is known for mirror \
             and you have requested strict checking.; Host key verification failed."
        );
        let denied = meaning_of("aim@mirror: Permission denied (publickey).\r\n");
        let is_auth = matches!(denied, TransportError::AuthenticationRefused { .. });
        assert!(is_auth, "{denied}");
        let refused = meaning_of("ssh: connect to host mirror port 22: Connection refused\r\n");
        let is_far = matches!(refused, TransportError::Unreachable { .. });
        assert!(is_far, "{refused}");
        let lacks = meaning_of("subsystem request failed on channel 0\r\n");
        let is_lack = matches!(lacks, TransportError::ServerLacks { .. });
        assert!(is_lack, "{lacks}");
        let lost = meaning_of("Timeout, server mirror not responding.\r\n");
        assert_eq!(
            lost.to_string(),
            "lost the connection to mirror: the stream ended; ssh says: Timeout, server mirror \
             not responding."
        );
        let silent = meaning_of("");
        assert!(silent.to_string().ends_with("said nothing"), "{silent}");
    }

    #[test]
    fn frames_and_control_characters_are_left_out() {
        let said =
            readable(b"@@@@@@@\r\n@    WARNING: CHANGED!    @\r\n@@@@@@@\r\na\x1b[2Jb\r\n\r\nc");
        assert_eq!(said, "a [2Jb; c");
    }
}

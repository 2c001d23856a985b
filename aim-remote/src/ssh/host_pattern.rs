//! Which hosts a line of known_hosts speaks of, matched as OpenSSH does.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

/// Whether `patterns` name `host`, which is a lower-case name or `[name]:port`.
pub(super) fn matches_host(patterns: &HostPatterns, host: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => match Hmac::<Sha1>::new_from_slice(salt) {
            Ok(mac) => mac.chain_update(host).verify_slice(hash).is_ok(),
            Err(_) => false,
        },
        HostPatterns::Patterns(list) => matches_list(list, host),
    }
}

/// A negated pattern that matches outweighs all others.
fn matches_list(list: &[String], host: &str) -> bool {
    let mut found = false;
    for pattern in list {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(negated) if matches_wildcard(negated.as_bytes(), host.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches_wildcard(pattern.as_bytes(), host.as_bytes()),
        }
    }
    found
}

/// `*` stands for any number of bytes, `?` for one.
///
/// Goes back to the last star only, so that no pattern takes more than product time.
fn matches_wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    p = star_at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.example.net", "db.example.net", true),
            ("*.example.net", "example.net", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("[127.0.0.*]:22??", "[127.0.0.1]:2299", true),
            ("127.0.0.1", "127.0.0.11", false),
        ];
        for (pattern, text, expected) in cases {
            let found = matches_wildcard(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn negation_outweighs() {
        let list = |text: &str| text.parse::<HostPatterns>().unwrap();
        assert!(matches_host(&list("*.net,!bad.net"), "good.net"));
        assert!(!matches_host(&list("*.net,!bad.net"), "bad.net"));
        assert!(!matches_host(&list("!bad.net,*.net"), "bad.net"));
        assert!(!matches_host(&list("!bad.net"), "good.net"));
        assert!(matches_host(&list("HOST.Net"), "host.net"));
    }
}

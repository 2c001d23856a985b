//! What a host certificate has to say before its authority's word counts, as OpenSSH has it.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg};

use super::known_hosts::ALGORITHMS;

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is a user's certificate")]
    OfUser,
    #[error("it is valid only in {0} s, by the clock of this host")]
    NotYet(u64),
    #[error("it expired {0} s ago, by the clock of this host")]
    Expired(u64),
    #[error("it is for {}, not for {host}", shown(principals))]
    OtherHost {
        principals: Vec<String>,
        host: String,
    },
    #[error("it has critical options, and hosts have none")]
    CriticalOptions,
    #[error("it is signed by {0}, which is not accepted")]
    Algorithm(String),
    #[error("its signature is wrong")]
    Signature,
}

/// Checks all but whether the authority is one: the caller has looked that up.
///
/// A certificate that names no host would be good for every host: it is refused.
pub(super) fn check(certificate: &Certificate, host: &str, now: SystemTime) -> Result<(), Refusal> {
    if certificate.cert_type() != CertType::Host {
        return Err(Refusal::OfUser);
    }
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if now < certificate.valid_after() {
        return Err(Refusal::NotYet(certificate.valid_after() - now));
    }
    if now >= certificate.valid_before() {
        return Err(Refusal::Expired(now - certificate.valid_before()));
    }
    let principals = certificate.valid_principals();
    if !principals
        .iter()
        .any(|name| name.eq_ignore_ascii_case(host))
    {
        return Err(Refusal::OtherHost {
            principals: principals.to_owned(),
            host: host.to_owned(),
        });
    }
    if !certificate.critical_options().is_empty() {
        return Err(Refusal::CriticalOptions);
    }
    let algorithm = certificate.signature().algorithm();
    if !ALGORITHMS.contains(&algorithm) {
        return Err(Refusal::Algorithm(algorithm.to_string()));
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&authority])
        .map_err(|_| Refusal::Signature)
}

fn shown(principals: &[String]) -> String {
    match principals {
        [] => "no host".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// For `mirror.example`, for ever; as `ssh-keygen -s` made it.
    const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com \
AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIPt671eM34SCINY6XC5ktrHWbjIgMd0jhTxE\
YUzj4BxSAAAAIF0wgVMQi6agqegShlV2YGFeqITwcWOjLFsV6+3QgkGGAAAAAAAAAAAAAAACAAAABHRlc3QAAAAS\
AAAADm1pcnJvci5leGFtcGxlAAAAAAAAAAD//////////wAAAAAAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkA\
AAAgpI7jxcjA0gNqLbhDTJORtaxdqSQsMOrmTyuZTjmlvv8AAABTAAAAC3NzaC1lZDI1NTE5AAAAQFlYIX3TrbmE\
C4VilaB4jiCgIdlQPFwWAZcKqZfMt1WSNnaM3uYaFyXO7q31by0HPBOjmlF9XXExI52hyLcutAg=";

    fn certificate() -> Certificate {
        Certificate::from_openssh(CERTIFICATE).unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_790_000_000)
    }

    #[test]
    fn it_is_good_for_the_host_that_it_names() {
        assert_eq!(check(&certificate(), "mirror.example", now()), Ok(()));
        assert_eq!(check(&certificate(), "MIRROR.example", now()), Ok(()));
        let other = check(&certificate(), "mirror.example.net", now()).unwrap_err();
        assert_eq!(
            other.to_string(),
            "it is for mirror.example, not for mirror.example.net"
        );
    }

    #[test]
    fn a_byte_that_was_altered_is_seen() {
        let mut bytes = certificate().to_bytes().unwrap();
        let name = b"mirror.example";
        let at = bytes.windows(name.len()).position(|part| part == name);
        bytes[at.unwrap()] = b'n';
        let forged = Certificate::from_bytes(&bytes).unwrap();
        let refused = check(&forged, "nirror.example", now());
        assert_eq!(refused, Err(Refusal::Signature));
    }
}

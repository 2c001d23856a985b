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

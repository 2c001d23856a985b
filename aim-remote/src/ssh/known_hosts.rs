//! The strict check of host keys against files in OpenSSH's known_hosts format.
//!
//! Nothing is ever accepted that is not recorded, and a key that is marked `@revoked` not even
//! then. Lines that can't be read can only make the check refuse more, never less: a plain line
//! is skipped (it would have allowed a key), a line with a mark is an error (it might have
//! revoked one).

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use russh::keys::ssh_key::known_hosts::{Entry, Marker};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey};

use super::host_certificate;
use super::host_pattern::matches_host;
use crate::transport::TransportError;

/// What is recorded about host keys.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    files: Vec<PathBuf>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    file: usize,
    /// From 1.
    line: usize,
    entry: Entry,
}

impl Record {
    fn is(&self, key: &KeyData) -> bool {
        self.entry.public_key().key_data() == key
    }
}

/// What the records say of an offered key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Unknown,
    Changed {
        file: PathBuf,
        line: usize,
    },
    Revoked {
        file: PathBuf,
        line: usize,
    },
    /// Its authority, on this line, is recorded; the certificate is not right.
    Certificate {
        file: PathBuf,
        line: usize,
        reason: String,
    },
}

impl KnownHosts {
    /// Reads all files; one that does not exist holds no record.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, TransportError> {
        let mut known = Self::default();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => known.add(file.clone(), &String::from_utf8_lossy(&bytes))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(TransportError::KnownHostsUnreadable {
                        file: file.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
        Ok(known)
    }

    fn add(&mut self, file: PathBuf, text: &str) -> Result<(), TransportError> {
        for (index, line) in text.lines().enumerate() {
            // any number of blanks and tabs separates fields
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.parse::<Entry>() {
                Ok(entry) => self.records.push(Record {
                    file: self.files.len(),
                    line: index + 1,
                    entry,
                }),
                Err(error) if line.starts_with('@') && !line.starts_with(AUTHORITY) => {
                    return Err(TransportError::KnownHostsUnreadable {
                        file,
                        reason: format!("line {} has a mark, but {error}", index + 1),
                    });
                }
                Err(error) => tracing::debug!(
                    file = %file.display(), line = index + 1, %error,
                    "skipped a line of known_hosts"
                ),
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// Judges the key that `host` offers on `port`.
    pub(super) fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Verdict {
        if let Some(revoked) = self.revoked(host, port, key.key_data()) {
            return revoked;
        }
        let recorded = self.recorded(host, port, None);
        if recorded.iter().any(|record| record.is(key.key_data())) {
            return Verdict::Accepted;
        }
        // a line without the port speaks of the server on port 22: this one may differ
        let kind = key.algorithm();
        let name = with_port(host, port);
        let exact = self.marked(&name, None);
        match exact.min_by_key(|record| record.entry.public_key().algorithm() != kind) {
            Some(record) => {
                let (file, line) = self.locate(record);
                Verdict::Changed { file, line }
            }
            None => Verdict::Unknown,
        }
    }

    /// Judges the certificate that `host` offers on `port`. Without a recorded authority that
    /// vouches for it, it is worth as much as the key in it.
    pub(super) fn judge_certificate(
        &self,
        host: &str,
        port: u16,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Verdict {
        let authority = certificate.signature_key();
        if let Some(revoked) = self.revoked(host, port, authority) {
            return revoked;
        }
        let key = PublicKey::from(certificate.public_key().clone());
        let bare = self.judge(host, port, &key);
        if matches!(bare, Verdict::Accepted | Verdict::Revoked { .. }) {
            return bare;
        }
        let authorities = self.recorded(host, port, Some(Marker::CertAuthority));
        let Some(record) = authorities.iter().find(|record| record.is(authority)) else {
            return bare;
        };
        match host_certificate::check(certificate, host, now) {
            Ok(()) => Verdict::Accepted,
            Err(reason) => {
                let (file, line) = self.locate(record);
                let reason = reason.to_string();
                Verdict::Certificate { file, line, reason }
            }
        }
    }

    /// Certificates to ask for before plain keys, by the algorithm of the key in them: none
    /// where no authority is recorded that could vouch for one.
    pub(super) fn certificate_algorithms(&self, host: &str, port: u16) -> &'static [Algorithm] {
        match self.recorded(host, port, Some(Marker::CertAuthority))[..] {
            [] => &[],
            _ => ALGORITHMS,
        }
    }

    /// Host-key algorithms to offer: those of recorded keys first, so that a server with several
    /// keys shows the one that is recorded.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let recorded = self.recorded(host, port, None);
        let is_recorded = |algorithm: &Algorithm| {
            recorded
                .iter()
                .any(|record| same_kind(&record.entry.public_key().algorithm(), algorithm))
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.iter().cloned().partition(is_recorded);
        first.extend(rest);
        first
    }

    /// The mark that takes a key away from `host`, whatever else is recorded.
    fn revoked(&self, host: &str, port: u16, key: &KeyData) -> Option<Verdict> {
        let names = [with_port(host, port), host.to_ascii_lowercase()];
        let mut revoked = names
            .iter()
            .flat_map(|name| self.marked(name, Some(Marker::Revoked)));
        let record = revoked.find(|record| record.is(key))?;
        let (file, line) = self.locate(record);
        Some(Verdict::Revoked { file, line })
    }

    /// Records of the host with this mark: those with the port, or else those without any.
    fn recorded(&self, host: &str, port: u16, marker: Option<Marker>) -> Vec<&Record> {
        let (name, bare) = (with_port(host, port), host.to_ascii_lowercase());
        let exact: Vec<_> = self.marked(&name, marker).collect();
        if exact.is_empty() {
            return self.marked(&bare, marker).collect();
        }
        exact
    }

    fn marked<'a, 'n>(
        &'a self,
        name: &'n str,
        marker: Option<Marker>,
    ) -> impl Iterator<Item = &'a Record> + use<'a, 'n> {
        self.records.iter().filter(move |record| {
            record.entry.marker() == marker.as_ref()
                && matches_host(record.entry.host_patterns(), name)
        })
    }

    fn locate(&self, record: &Record) -> (PathBuf, usize) {
        (self.files[record.file].clone(), record.line)
    }
}

/// The name under which known_hosts keeps a server.
fn with_port(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    match port {
        22 => host,
        port => format!("[{host}]:{port}"),
    }
}

fn same_kind(a: &Algorithm, b: &Algorithm) -> bool {
    let rsa = |algorithm| matches!(algorithm, &Algorithm::Rsa { .. });
    a == b || (rsa(a) && rsa(b))
}

/// A line that can't be read must not be taken for one that allows a key; this mark only allows.
const AUTHORITY: &str = "@cert-authority ";

/// What is accepted at all, most preferred first. RSA only with SHA-2.
pub(super) const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;

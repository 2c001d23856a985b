//! The strict check of host keys against files in OpenSSH's known_hosts format.
//!
//! Nothing is ever accepted that is not recorded, and a key that is marked `@revoked` not even
//! then. Lines that can't be read can only make the check refuse more, never less: a plain line
//! is skipped (it would have allowed a key), a line with a mark is an error (it might have
//! revoked one). `@cert-authority` lines are skipped: host certificates are not asked for.

use std::io;
use std::path::PathBuf;

use russh::keys::ssh_key::known_hosts::{Entry, Marker};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

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

/// What the records say of an offered key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Unknown,
    Changed { file: PathBuf, line: usize },
    Revoked { file: PathBuf, line: usize },
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
                Err(error) if line.starts_with('@') && !line.starts_with("@cert-authority ") => {
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
        let same = |record: &&Record| record.entry.public_key().key_data() == key.key_data();
        let names = [with_port(host, port), host.to_ascii_lowercase()];
        let mut revoked = names
            .iter()
            .flat_map(|name| self.marked(name, Some(Marker::Revoked)));
        if let Some(record) = revoked.find(same) {
            let (file, line) = self.locate(record);
            return Verdict::Revoked { file, line };
        }
        let recorded = self.recorded(host, port);
        if recorded.iter().any(same) {
            return Verdict::Accepted;
        }
        // a line without the port speaks of the server on port 22: this one may differ
        let kind = key.algorithm();
        let exact = self.marked(&names[0], None);
        match exact.min_by_key(|record| record.entry.public_key().algorithm() != kind) {
            Some(record) => {
                let (file, line) = self.locate(record);
                Verdict::Changed { file, line }
            }
            None => Verdict::Unknown,
        }
    }

    /// Host-key algorithms to offer: those of recorded keys first, so that a server with several
    /// keys shows the one that is recorded.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let recorded = self.recorded(host, port);
        let is_recorded = |algorithm: &Algorithm| {
            recorded
                .iter()
                .any(|record| same_kind(&record.entry.public_key().algorithm(), algorithm))
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.iter().cloned().partition(is_recorded);
        first.extend(rest);
        first
    }

    /// Plain records of the host: those with the port, or else those without any.
    fn recorded(&self, host: &str, port: u16) -> Vec<&Record> {
        let (name, bare) = (with_port(host, port), host.to_ascii_lowercase());
        let exact: Vec<_> = self.marked(&name, None).collect();
        if exact.is_empty() {
            return self.marked(&bare, None).collect();
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

/// What is accepted at all, most preferred first. RSA only with SHA-2.
const ALGORITHMS: &[Algorithm] = &[
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

//! The configuration as it was typed: one struct per kind of table, every value optional.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::line::{RawBandwidth, RawCompression};
use super::quantity::{Size, Span};
use super::typed::{OnJournalFull, ReadPath};
use crate::logging::LogFormat;

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: Option<String>,
    pub(super) format: Option<LogFormat>,
}

/// `[volume.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVolume {
    pub(super) device: Option<PathBuf>,
    pub(super) journal: Option<PathBuf>,
    pub(super) target: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_passphrase_file: Option<PathBuf>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) ssh_program: Option<PathBuf>,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) allow_http: Option<bool>,
    pub(super) channels: Option<u16>,
    pub(super) compression: Option<RawCompression>,
    pub(super) bandwidth: Option<RawBandwidth>,
    pub(super) max_lag_bytes: Option<Size>,
    pub(super) max_lag_time: Option<Span>,
    pub(super) targets: Option<BTreeMap<String, RawTarget>>,
    pub(super) queues: Option<u16>,
    pub(super) depth: Option<u16>,
    pub(super) threads_per_queue: Option<u16>,
    pub(super) read_path: Option<ReadPath>,
    pub(super) seal_bytes: Option<Size>,
    pub(super) seal_after: Option<Span>,
    pub(super) staging_bytes: Option<Size>,
    pub(super) request_bytes: Option<Size>,
    pub(super) on_journal_full: Option<OnJournalFull>,
    pub(super) journal_bytes: Option<Size>,
    pub(super) max_hot_bytes: Option<Size>,
    pub(super) resync_rate: Option<Size>,
    pub(super) verify_rate: Option<Size>,
    pub(super) verify_every: Option<Span>,
}

/// `[volume.NAME.targets.NAME]` or `[mirror.NAME.targets.NAME]`, or the keys of the only target in
/// `[volume.NAME]` or `[mirror.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) url: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_passphrase_file: Option<PathBuf>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) ssh_program: Option<PathBuf>,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) allow_http: Option<bool>,
    pub(super) channels: Option<u16>,
    pub(super) compression: Option<RawCompression>,
    pub(super) bandwidth: Option<RawBandwidth>,
    pub(super) max_lag_bytes: Option<Size>,
    pub(super) max_lag_time: Option<Span>,
}

impl RawTarget {
    /// Names of the keys that are given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let keys = [
            ("url", self.url.is_some()),
            ("key", self.key.is_some()),
            ("key_passphrase_file", self.key_passphrase_file.is_some()),
            ("agent_socket", self.agent_socket.is_some()),
            ("known_hosts", self.known_hosts.is_some()),
            ("ssh_program", self.ssh_program.is_some()),
            ("ssh_config", self.ssh_config.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("credentials_file", self.credentials_file.is_some()),
            ("allow_http", self.allow_http.is_some()),
            ("channels", self.channels.is_some()),
            ("compression", self.compression.is_some()),
            ("bandwidth", self.bandwidth.is_some()),
            ("max_lag_bytes", self.max_lag_bytes.is_some()),
            ("max_lag_time", self.max_lag_time.is_some()),
        ];
        let given = keys.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(key, _)| key).collect()
    }
}

/// `[mirror.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMirror {
    pub(super) device: Option<PathBuf>,
    pub(super) directory: Option<PathBuf>,
    pub(super) target: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_passphrase_file: Option<PathBuf>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) ssh_program: Option<PathBuf>,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) allow_http: Option<bool>,
    pub(super) channels: Option<u16>,
    pub(super) compression: Option<RawCompression>,
    pub(super) bandwidth: Option<RawBandwidth>,
    pub(super) max_lag_bytes: Option<Size>,
    pub(super) max_lag_time: Option<Span>,
    pub(super) targets: Option<BTreeMap<String, RawTarget>>,
    pub(super) fetch: Option<RawTarget>,
}

/// The keys of the only target in the table of a volume or a mirror.
macro_rules! only_target {
    ($raw:ident) => {
        RawTarget {
            url: $raw.target,
            key: $raw.key,
            key_passphrase_file: $raw.key_passphrase_file,
            agent_socket: $raw.agent_socket,
            known_hosts: $raw.known_hosts,
            ssh_program: $raw.ssh_program,
            ssh_config: $raw.ssh_config,
            endpoint: $raw.endpoint,
            region: $raw.region,
            credentials_file: $raw.credentials_file,
            allow_http: $raw.allow_http,
            channels: $raw.channels,
            compression: $raw.compression,
            bandwidth: $raw.bandwidth,
            max_lag_bytes: $raw.max_lag_bytes,
            max_lag_time: $raw.max_lag_time,
        }
    };
}
pub(super) use only_target;

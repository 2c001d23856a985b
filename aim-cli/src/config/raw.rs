//! The configuration as it was typed: one struct per kind of table, every value optional.

use std::path::PathBuf;

use serde::Deserialize;

use super::line::{RawBandwidth, RawCompression};
use super::quantity::{Size, Span};
use super::typed::OnJournalFull;
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
    pub(super) channels: Option<u16>,
    pub(super) compression: Option<RawCompression>,
    pub(super) bandwidth: Option<RawBandwidth>,
    pub(super) ssh_program: Option<PathBuf>,
    pub(super) ssh_config: Option<PathBuf>,
    pub(super) queues: Option<u16>,
    pub(super) depth: Option<u16>,
    pub(super) seal_bytes: Option<Size>,
    pub(super) seal_after: Option<Span>,
    pub(super) staging_bytes: Option<Size>,
    pub(super) request_bytes: Option<Size>,
    pub(super) on_journal_full: Option<OnJournalFull>,
    pub(super) journal_bytes: Option<Size>,
    pub(super) resync_rate: Option<Size>,
    pub(super) verify_rate: Option<Size>,
    pub(super) verify_every: Option<Span>,
}

/// `[mirror.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMirror {
    pub(super) device: Option<PathBuf>,
    pub(super) directory: Option<PathBuf>,
}

//! Records and headers as they are shown.

use aim_core::format::{Header, Iocb, Kind};
use aim_core::journal::ParsedFile;
use aim_core::units::Lsn;
use serde::Serialize;

use crate::time::rfc3339;

/// What the header of a file says.
#[derive(Debug, Serialize)]
pub(super) struct HeaderView {
    pub(super) state: &'static str,
    pub(super) name: String,
    pub(super) volume_id: String,
    pub(super) epoch: u32,
    pub(super) file_number: u64,
    pub(super) first_lsn: u64,
    pub(super) last_lsn: Option<u64>,
    pub(super) records: Option<u32>,
    /// LSN of the group begin of the group in which the file starts.
    pub(super) open_group_lsn: Option<u64>,
    /// LSN of the group begin of the group in which a sealed file ends.
    pub(super) open_group_at_end_lsn: Option<u64>,
    /// LSN of the baseline begin with which a sealed file begins.
    pub(super) baseline_begun_lsn: Option<u64>,
    /// LSN of the begin of the last baseline that ends in a sealed file.
    pub(super) baseline_ended_lsn: Option<u64>,
    pub(super) total_size: u64,
    pub(super) iocb_offset: u64,
    pub(super) iocb_capacity: u32,
    pub(super) data_offset: u64,
    pub(super) data_len: Option<u64>,
    pub(super) created: String,
    pub(super) sealed: Option<String>,
    pub(super) previous_digest: String,
    pub(super) digest: Option<String>,
    pub(super) devices: Vec<DeviceView>,
}

/// One device of the volume.
#[derive(Debug, Serialize)]
pub(super) struct DeviceView {
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) block_size: u32,
}

/// One transaction.
#[derive(Debug, Serialize)]
pub(super) struct RecordView {
    pub(super) lsn: u64,
    pub(super) operation: &'static str,
    pub(super) device: u16,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) fua: bool,
    pub(super) data_place: Option<u64>,
    /// For `verify`: the digest of the range, in hexadecimal digits.
    pub(super) digest: Option<String>,
    pub(super) time: String,
}

impl HeaderView {
    pub(super) fn new(file: &ParsedFile) -> Self {
        let header: &Header = file.header();
        let seal = header.seal.as_ref();
        let devices = header.volume.devices.iter().map(|device| DeviceView {
            id: device.id.to_string(),
            size: device.size.get(),
            block_size: device.block_size,
        });
        Self {
            state: if file.is_sealed() { "sealed" } else { "open" },
            name: file.name().sealed(),
            volume_id: header.volume.id.to_string(),
            epoch: header.volume.epoch.get(),
            file_number: header.number.get(),
            first_lsn: header.first_lsn.get(),
            last_lsn: seal.map(|seal| seal.last_lsn.get()),
            records: seal.map(|seal| seal.iocb_count),
            open_group_lsn: group(header.open_group),
            open_group_at_end_lsn: seal.and_then(|seal| group(seal.open_group)),
            baseline_begun_lsn: seal.and_then(|seal| group(seal.baseline_begun)),
            baseline_ended_lsn: seal.and_then(|seal| group(seal.baseline_ended)),
            total_size: file.len().get(),
            iocb_offset: header.layout.iocb_offset,
            iocb_capacity: header.layout.iocb_capacity,
            data_offset: header.layout.data_offset,
            data_len: seal.map(|seal| seal.data_len.get()),
            created: rfc3339(header.created),
            sealed: seal.map(|seal| rfc3339(seal.sealed)),
            previous_digest: hex(&header.previous),
            digest: seal.map(|seal| hex(&seal.digest)),
            devices: devices.collect(),
        }
    }
}

impl RecordView {
    pub(super) fn new(iocb: &Iocb) -> Self {
        Self {
            lsn: iocb.lsn.get(),
            operation: operation(iocb.kind),
            device: iocb.device,
            offset: iocb.offset.get(),
            length: iocb.len.get(),
            fua: iocb.fua,
            data_place: iocb.payload.as_ref().map(|payload| payload.place),
            digest: digest(iocb.kind),
            time: rfc3339(iocb.time),
        }
    }
}

/// In no group, or no baseline: nothing.
pub(super) fn group(begin: Lsn) -> Option<u64> {
    (begin != Lsn(0)).then_some(begin.get())
}

fn operation(kind: Kind) -> &'static str {
    match kind {
        Kind::Write => "write",
        Kind::WriteZeroes { unmap: true } => "write_zeroes",
        Kind::WriteZeroes { unmap: false } => "write_zeroes_no_unmap",
        Kind::Discard => "discard",
        Kind::Flush => "flush",
        Kind::Void => "void",
        Kind::Verify { .. } => "verify",
        Kind::GroupBegin { hole: false } => "group_begin",
        Kind::GroupBegin { hole: true } => "group_begin_hole",
        Kind::GroupEnd => "group_end",
        Kind::BaselineBegin => "baseline_begin",
        Kind::BaselineEnd { .. } => "baseline_end",
    }
}

fn digest(kind: Kind) -> Option<String> {
    match kind {
        Kind::Verify { digest } => Some(format!("{digest:016x}")),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

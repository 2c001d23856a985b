//! What must hold whatever bytes are taken for a journal file: the body of the fuzz target `file`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold fails by panicking"
)]

use std::io::IoSlice;
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::checksum::payload_checksum;
use aim_core::format::limits::{HEADER_BYTES, IOCB_BYTES};
use aim_core::format::{Header, HeaderError, Iocb, IocbError, Kind, Layout};
use aim_core::fs::{DirFile, Directory};
use aim_core::journal::{OpenFile, OpenSpec, ParsedFile, Record, Recovered, VerifiedFile, recover};
use aim_core::units::{ByteLen, FileNumber, Lsn, Timestamp};

use crate::{MemFileSystem, Power};

/// What became of the bytes of one input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// The header could be believed.
    pub parsed: u64,
    /// Everything could be believed.
    pub verified: u64,
    /// Records could be recovered from it as an open file.
    pub recovered: u64,
}

/// Reads `input` as a journal file in every way, as it is and with its check values put right,
/// so that what lies behind them is reached.
///
/// # Panics
///
/// Where a file is believed that is not exactly what the specification says, where two ways of
/// reading differ, or where the writer makes another file of the same records.
pub fn read_any_file(input: &[u8]) -> Readings {
    let mut readings = Readings::default();
    read(input, &mut readings);
    let mut repaired = input.to_vec();
    repair(&mut repaired);
    if repaired != input {
        read(&repaired, &mut readings);
    }
    readings
}

fn read(bytes: &[u8], readings: &mut Readings) {
    let folder = MemFileSystem::new(Power::steady()).folder("/journal");
    let file = put(&*folder, "file", bytes);
    let verified = VerifiedFile::open(file.clone());
    let Ok(parsed) = ParsedFile::open(file) else {
        assert!(verified.is_err());
        return;
    };
    readings.parsed += 1;
    assert_parsed(&parsed, bytes);
    if let Ok(file) = &verified {
        readings.verified += 1;
        assert_verified(file, bytes);
        assert_written_again(file, bytes);
        assert_flip_is_found(bytes);
    }
    // the file in memory grows to this when it is sealed
    if parsed.header().layout.data_offset <= 1 << 20 {
        readings.recovered += u64::from(assert_recovery(&parsed, verified.ok(), bytes));
    }
}

/// What was read, written again, is what was there.
fn assert_parsed(file: &ParsedFile, bytes: &[u8]) {
    let header = file.header();
    if header.compatible == 0 {
        assert_eq!(header.encode()[..], bytes[..HEADER_BYTES]);
    }
    for (index, iocb) in file.iocbs().unwrap_or_default().iter().enumerate() {
        let slot = header.layout.iocb_offset as usize + index * IOCB_BYTES;
        assert_eq!(iocb.encode(header.file_seed()), bytes[slot..][..IOCB_BYTES]);
    }
}

fn assert_verified(file: &VerifiedFile, bytes: &[u8]) {
    let header = file.header();
    let seal = header.seal.unwrap();
    assert_eq!(seal.total_size.get(), bytes.len() as u64);
    assert_eq!(seal.iocb_count as usize, file.records().len());
    let mut lsn = header.first_lsn;
    let mut place = header.layout.data_offset as usize;
    for iocb in file.records() {
        assert_eq!(iocb.lsn, lsn);
        lsn = lsn.next();
        let device = &header.volume.devices[usize::from(iocb.device)];
        assert!(iocb.offset.end(iocb.len).unwrap().get() <= device.size.get());
        assert_eq!(iocb.payload.is_some(), iocb.kind == Kind::Write);
        if let Some(payload) = &iocb.payload {
            let stored = &bytes[place..][..payload.stored_size as usize];
            assert_eq!(payload.place, place as u64);
            assert_eq!(payload_of(file, iocb), stored);
            place += stored.len();
        }
    }
    assert_eq!((lsn, place), (file.last_lsn().next(), bytes.len()));
    let layout = &header.layout;
    let iocb_end = layout.iocb_offset as usize + file.records().len() * IOCB_BYTES;
    let gaps = [
        &bytes[HEADER_BYTES..layout.iocb_offset as usize],
        &bytes[iocb_end..layout.data_offset as usize],
    ];
    assert!(gaps.concat().iter().all(|byte| *byte == 0));
}

/// The writer makes the same bytes of the same records, where the layout is its own.
fn assert_written_again(file: &VerifiedFile, bytes: &[u8]) {
    let header = file.header();
    let capacity = header.layout.iocb_capacity;
    if header.compatible != 0 || header.layout != Layout::with_capacity(capacity) {
        return;
    }
    let folder = MemFileSystem::new(Power::steady()).folder("/journal");
    let spec = OpenSpec {
        volume: header.volume.clone(),
        after: Position {
            epoch: header.volume.epoch,
            file: FileNumber(header.number.get() - 1),
            lsn: Lsn(header.first_lsn.get() - 1),
            digest: header.previous,
            open_group: header.open_group,
        },
        iocb_capacity: capacity,
        target_size: ByteLen(u64::MAX),
        created: header.created,
        floor: Timestamp(0),
    };
    let mut open = OpenFile::create(&*folder, &spec).unwrap();
    let payloads: Vec<Vec<u8>> = file
        .records()
        .iter()
        .map(|iocb| payload_of(file, iocb))
        .collect();
    let records: Vec<Record<'_>> = file
        .records()
        .iter()
        .zip(&payloads)
        .map(|(iocb, payload)| record(iocb, payload))
        .collect();
    open.append(&records).unwrap();
    let sealed = open.seal(header.seal.unwrap().sealed).unwrap();
    assert_eq!(sealed, file.sealed());
    let written = folder.read_small(&sealed.name.open(), bytes.len());
    assert!(
        written.unwrap() == bytes,
        "another file of the same records"
    );
}

fn record<'a>(iocb: &Iocb, payload: &'a [u8]) -> Record<'a> {
    Record {
        lsn: iocb.lsn,
        device: iocb.device,
        kind: iocb.kind,
        fua: iocb.fua,
        offset: iocb.offset,
        len: iocb.len,
        payload,
        time: iocb.time,
    }
}

/// One bit, chosen by the content.
fn assert_flip_is_found(bytes: &[u8]) {
    let choice = payload_checksum(bytes) as usize;
    let mut flipped = bytes.to_vec();
    flipped[choice / 8 % bytes.len()] ^= 1 << (choice % 8);
    let folder = MemFileSystem::new(Power::steady()).folder("/journal");
    assert!(VerifiedFile::open(put(&*folder, "file", &flipped)).is_err());
}

/// Takes the bytes for those of an open file; whether there were records.
fn assert_recovery(file: &ParsedFile, verified: Option<VerifiedFile>, bytes: &[u8]) -> bool {
    let name = file.name();
    let folder = MemFileSystem::new(Power::steady()).folder("/open");
    put(&*folder, &name.open(), bytes);
    let recovered = match recover(&*folder, name) {
        Ok(recovered) => recovered,
        Err(error) => {
            assert!(has_gaps(file.header()), "{error}");
            return false;
        }
    };
    if let Some(verified) = verified {
        assert!(matches!(recovered, Recovered::Sealed(sealed) if sealed == verified.sealed()));
        return true;
    }
    let open = match recovered {
        Recovered::Open(open) => open,
        Recovered::Empty => return false,
        Recovered::Sealed(sealed) => panic!("{sealed:?} is not whole"),
    };
    let count = open.count() as usize;
    let sealed = open.seal(Timestamp(0)).unwrap();
    let again = folder.open(&name.open(), false).unwrap();
    let again = VerifiedFile::open(again).unwrap();
    assert_eq!((again.sealed(), again.records().len()), (sealed, count));
    if !file.is_sealed() {
        assert_eq!(again.records(), &file.iocbs().unwrap()[..count]);
    }
    for iocb in again.records() {
        if let Some(payload) = &iocb.payload {
            let stored = &bytes[payload.place as usize..][..payload.stored_size as usize];
            assert_eq!(payload_of(&again, iocb), stored);
        }
    }
    true
}

/// Whether there is room between the portions, where something could stand that does not belong.
fn has_gaps(header: &Header) -> bool {
    header.layout != Layout::with_capacity(header.layout.iocb_capacity)
}

fn payload_of(file: &VerifiedFile, iocb: &Iocb) -> Vec<u8> {
    let mut buffer = vec![0; iocb.stored_size() as usize];
    file.read_payload(iocb, &mut buffer).unwrap();
    buffer
}

fn put(folder: &dyn Directory, name: &str, bytes: &[u8]) -> Arc<dyn DirFile> {
    let file = folder.create(name).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

/// Puts the check values right, as far as the bytes are a file.
pub fn repair(bytes: &mut [u8]) {
    let Some(header) = repair_header(bytes) else {
        return;
    };
    let start = header.layout.iocb_offset as usize;
    let count = header
        .seal
        .map_or(header.layout.iocb_capacity, |seal| seal.iocb_count) as usize;
    let Some(portion) = bytes.get(start..) else {
        return;
    };
    let count = count.min(portion.len() / IOCB_BYTES);
    (0..count).for_each(|index| repair_iocb(bytes, start + index * IOCB_BYTES, &header));
    if header.seal.is_some()
        && let Some(first) = bytes.first_chunk::<HEADER_BYTES>()
    {
        let digest = Header::digest(first, &bytes[start..][..count * IOCB_BYTES]);
        bytes[DIGEST..DIGEST + 32].copy_from_slice(&digest);
        repair_header(bytes);
    }
}

/// What the bytes should give is in the error that they give.
fn repair_header(bytes: &mut [u8]) -> Option<Header> {
    let header = bytes.first_chunk_mut::<HEADER_BYTES>()?;
    if let Err(HeaderError::Checksum { computed, .. }) = Header::parse(header) {
        header[CHECKSUM..CHECKSUM + 8].copy_from_slice(&computed.to_le_bytes());
    }
    Header::parse(header).ok()
}

fn repair_iocb(bytes: &mut [u8], place: usize, header: &Header) {
    let seed = header.file_seed();
    let Some(slot) = bytes[place..].first_chunk_mut::<IOCB_BYTES>() else {
        return;
    };
    // an unused one stays zero
    if slot.iter().all(|byte| *byte == 0) {
        return;
    }
    if let Err(IocbError::Checksum { computed, .. }) = Iocb::parse(slot, seed) {
        slot[IOCB_CHECKSUM..IOCB_CHECKSUM + 4].copy_from_slice(&computed.to_le_bytes());
    }
    let Ok(mut iocb) = Iocb::parse(slot, seed) else {
        return;
    };
    if let Some(payload) = &mut iocb.payload {
        let start = usize::try_from(payload.place).unwrap_or(usize::MAX);
        let end = start.saturating_add(payload.stored_size as usize);
        if let Some(stored) = bytes.get(start..end) {
            payload.checksum = payload_checksum(stored);
            bytes[place..place + IOCB_BYTES].copy_from_slice(&iocb.encode(seed));
        }
    }
}

/// Offsets in `docs/format.md`.
const DIGEST: usize = 112;
const CHECKSUM: usize = 504;
const IOCB_CHECKSUM: usize = 12;

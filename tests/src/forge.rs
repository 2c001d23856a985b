//! Journal files made of any bytes at all: with right checksums and digests around wrong content,
//! so that more than the checksums is tested.

use aim_core::cursor::Position;
use aim_core::format::checksum::payload_checksum;
use aim_core::format::limits::IOCB_BYTES;
use aim_core::format::{BASELINES, GROUPS, Header, Iocb, Kind, Layout, Payload, Seal};
use aim_core::identity::VolumeIdentity;
use aim_core::units::{ByteLen, ByteOffset, DeviceId, Epoch, FileNumber, Lsn, Timestamp, VolumeId};

/// Bytes that decide what happens; when they have run out, nothing unusual happens any more.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices made by `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there are none left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 1,
        }
    }

    /// Up to `len` bytes as they are.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.bytes(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    /// Mostly `right`; else a number near it or any at all.
    fn mostly(&mut self, right: u64) -> u64 {
        match self.byte() {
            0x00 => self.number(),
            0x10 => right.wrapping_add(1),
            0x20 => right.wrapping_sub(1),
            0x30 => 0,
            _ => right,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        (u64::from(self.byte()) << 8 | u64::from(self.byte())) % bound.max(1)
    }
}

/// A file that mostly follows `after`, but whose every field may be anything.
pub fn forge_file(choices: &mut Choices<'_>, volume: &VolumeIdentity, after: Position) -> Vec<u8> {
    let mut header = forge_header(choices, volume, after);
    let count = 1 + u32::from(choices.byte()) % 12;
    header.layout = Layout::with_capacity(count);
    let (iocbs, data, groups) = forge_content(choices, volume, &header, count);
    let baselines = u64::from(groups.begun | groups.ended != 0) * BASELINES;
    header.incompatible = choices.mostly(u64::from(groups.are_used) * GROUPS + baselines);
    let total = header.layout.data_offset + data.len() as u64;
    let first = header.first_lsn.get();
    let mut seal = Seal {
        last_lsn: Lsn(choices.mostly(first.wrapping_add(u64::from(count) - 1))),
        digest: [0; 32],
        iocb_count: choices.mostly(count.into()) as u32,
        data_len: ByteLen(choices.mostly(data.len() as u64)),
        total_size: ByteLen(choices.mostly(total)),
        sealed: Timestamp(choices.mostly(u64::MAX)),
        open_group: Lsn(choices.mostly(groups.open.get())),
        baseline_begun: Lsn(choices.mostly(groups.begun)),
        baseline_ended: Lsn(choices.mostly(groups.ended)),
    };
    header.layout.iocb_offset = choices.mostly(header.layout.iocb_offset);
    header.layout.data_offset = choices.mostly(header.layout.data_offset);
    header.seal = Some(seal);
    seal.digest = Header::digest(&header.encode(), &iocbs);
    header.seal = Some(seal);

    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&iocbs);
    bytes.resize(total as usize - data.len(), 0);
    bytes.extend_from_slice(&data);
    bytes
}

fn forge_header(choices: &mut Choices<'_>, volume: &VolumeIdentity, after: Position) -> Header {
    let mut volume = volume.clone();
    match choices.byte() {
        0x00 => volume.id = VolumeId([choices.byte(); 16]),
        0x10 => volume.epoch = Epoch(choices.number() as u32),
        0x20 => volume.devices[0].id = DeviceId([choices.byte(); 16]),
        0x30 => volume.devices[0].size = ByteLen(choices.number()),
        0x40 => volume.devices[0].block_size = choices.number() as u32,
        0x50 => drop(volume.devices.pop()),
        _ => {}
    }
    let mut previous = after.digest;
    previous[0] = choices.mostly(previous[0].into()) as u8;
    Header {
        compatible: 0,
        volume,
        number: FileNumber(choices.mostly(after.file.get() + 1)),
        first_lsn: Lsn(choices.mostly(after.lsn.get() + 1)),
        previous,
        incompatible: 0,
        open_group: Lsn(choices.mostly(after.open_group.get())),
        layout: Layout::with_capacity(1),
        created: Timestamp(choices.mostly(0)),
        seal: None,
    }
}

/// What the records of a file do to groups and baselines.
struct Groups {
    /// The one that is open behind them; 0: none.
    open: Lsn,
    /// Whether the file needs the feature.
    are_used: bool,
    /// The baselines that begin and end there; 0: none.
    begun: u64,
    ended: u64,
}

/// IOCBs, the payloads that belong to them, and the groups in them.
fn forge_content(
    choices: &mut Choices<'_>,
    volume: &VolumeIdentity,
    header: &Header,
    count: u32,
) -> (Vec<u8>, Vec<u8>, Groups) {
    let mut groups = Groups {
        open: header.open_group,
        are_used: header.open_group != Lsn(0),
        begun: 0,
        ended: 0,
    };
    let mut iocbs = Vec::with_capacity(count as usize * IOCB_BYTES);
    let mut data = Vec::new();
    for index in 0..u64::from(count) {
        let place = header.layout.data_offset + data.len() as u64;
        let lsn = header.first_lsn.get().wrapping_add(index);
        let mut iocb = forge_iocb(choices, volume, place, groups.open);
        iocb.lsn = Lsn(choices.mostly(lsn));
        groups.are_used |= iocb.kind.needs_groups();
        match iocb.kind {
            Kind::GroupBegin { .. } => groups.open = iocb.lsn,
            Kind::GroupEnd => groups.open = Lsn(0),
            Kind::BaselineBegin => groups.begun = iocb.lsn.get(),
            Kind::BaselineEnd { begin } => groups.ended = begin.get(),
            _ => {}
        }
        if let Some(payload) = &mut iocb.payload {
            let bytes = vec![choices.byte(); payload.stored_size as usize];
            payload.checksum = choices.mostly(payload_checksum(&bytes));
            payload.stored_size = choices.mostly(payload.stored_size.into()) as u32;
            data.extend_from_slice(&bytes);
        }
        iocbs.extend_from_slice(&iocb.encode(header.file_seed()));
    }
    (iocbs, data, groups)
}

fn forge_iocb(
    choices: &mut Choices<'_>,
    volume: &VolumeIdentity,
    place: u64,
    open_group: Lsn,
) -> Iocb {
    let mut device = choices.below(volume.devices.len() as u64);
    let identity = &volume.devices[device as usize];
    let block = u64::from(identity.block_size);
    let blocks = identity.size.get() / block;
    let first = choices.below(blocks);
    let (mut offset, mut len) = (
        first * block,
        (1 + choices.below(8).min(blocks - first - 1)) * block,
    );
    let kind = match choices.byte() % 16 {
        0 | 8 => Kind::Flush,
        1 | 9 => Kind::Discard,
        2 | 10 => Kind::WriteZeroes { unmap: true },
        3 | 11 => Kind::Void,
        4 => Kind::Verify {
            digest: match choices.byte() {
                0..128 => payload_checksum(&vec![0; len as usize]),
                _ => choices.number(),
            },
        },
        12 => match choices.mostly(open_group.get()) {
            0 => Kind::GroupBegin {
                hole: choices.byte() == 0,
            },
            _ => Kind::GroupEnd,
        },
        5 => match choices.byte() {
            0..128 => Kind::BaselineBegin,
            begin => Kind::BaselineEnd {
                begin: Lsn(u64::from(begin) - 127),
            },
        },
        _ => Kind::Write,
    };
    match kind {
        Kind::Flush => (offset, len) = (0, 0),
        kind if kind.is_mark() => (device, offset, len) = (0, 0, 0),
        _ => {}
    }
    Iocb {
        lsn: Lsn(0),
        device: choices.mostly(device) as u16,
        kind,
        fua: false,
        offset: ByteOffset(choices.mostly(offset)),
        len: ByteLen(choices.mostly(len)),
        payload: (kind == Kind::Write).then_some(Payload {
            place: choices.mostly(place),
            stored_size: len as u32,
            checksum: 0,
        }),
        time: Timestamp(choices.mostly(0)),
    }
}

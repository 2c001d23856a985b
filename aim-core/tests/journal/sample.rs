//! Volumes and records that the tests share. All values are fixed: golden files hold them.

use std::io::IoSlice;
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::{DirFile, Directory};
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::journal::{OpenFile, OpenSpec, Record, SealedFile, VerifiedFile};
use aim_core::units::{ByteLen, ByteOffset, DeviceId, Epoch, Lsn, Timestamp, VolumeId};
use aim_tests::{MemFileSystem, Power};

/// 2023-11-14 22:13:20 UTC.
pub(crate) const T0: u64 = 1_700_000_000_000_000_000;

/// A record that owns its payload.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) device: u16,
    pub(crate) kind: Kind,
    pub(crate) fua: bool,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) payload: Vec<u8>,
}

impl Owned {
    pub(crate) fn write(offset: u64, payload: Vec<u8>) -> Self {
        let len = payload.len() as u64;
        Self {
            payload,
            ..Self::range(Kind::Write, offset, len)
        }
    }

    pub(crate) fn range(kind: Kind, offset: u64, len: u64) -> Self {
        Self {
            device: 0,
            kind,
            fua: false,
            offset,
            len,
            payload: Vec::new(),
        }
    }

    pub(crate) fn as_record(&self, lsn: u64) -> Record<'_> {
        Record {
            lsn: Lsn(lsn),
            device: self.device,
            kind: self.kind,
            fua: self.fua,
            offset: ByteOffset(self.offset),
            len: ByteLen(self.len),
            payload: &self.payload,
            time: Timestamp(T0 + lsn * 1_000_000),
        }
    }
}

/// Bytes that differ from each other and from other seeds.
pub(crate) fn bytes(seed: u8, len: usize) -> Vec<u8> {
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    std::iter::repeat_with({
        let mut state = u32::from(seed) + 1;
        move || next(&mut state).unwrap_or_default()
    })
    .take(len)
    .collect()
}

/// Two devices of 1 MiB and 64 MiB, with blocks of 512 and 4096 bytes.
pub(crate) fn volume() -> VolumeIdentity {
    let device = |id, size, block_size| DeviceIdentity {
        id: DeviceId([id; 16]),
        size: ByteLen(size),
        block_size,
    };
    VolumeIdentity {
        id: VolumeId([0xa1; 16]),
        epoch: Epoch(1),
        devices: vec![device(0xd0, 1 << 20, 512), device(0xd1, 64 << 20, 4096)],
    }
}

/// One record of every kind and flag.
pub(crate) fn every_kind() -> Vec<Owned> {
    let fua = |owned| Owned { fua: true, ..owned };
    let second = |owned| Owned { device: 1, ..owned };
    vec![
        Owned::write(512, bytes(1, 512)),
        fua(Owned::write(4096, bytes(2, 1024))),
        Owned::range(Kind::Flush, 0, 0),
        Owned::range(Kind::WriteZeroes { unmap: true }, 8192, 65536),
        fua(Owned::range(Kind::WriteZeroes { unmap: false }, 0, 512)),
        second(Owned::range(Kind::Discard, 0, 64 << 20)),
        Owned::range(Kind::Void, 1024, 2048),
        second(Owned::write(4096, bytes(3, 4096))),
        second(Owned::range(Kind::Flush, 0, 0)),
    ]
}

pub(crate) fn spec(after: Position) -> OpenSpec {
    OpenSpec {
        volume: volume(),
        after,
        iocb_capacity: 64,
        target_size: ByteLen(1 << 20),
        created: Timestamp(T0 + after.lsn.get() * 1_000_000),
        floor: Timestamp(0),
    }
}

/// Creates a file behind `after` and appends `records`.
pub(crate) fn opened(dir: &dyn Directory, after: Position, records: &[Owned]) -> OpenFile {
    let mut file = OpenFile::create(dir, &spec(after)).unwrap();
    file.append(&numbered(after.lsn.next().get(), records))
        .unwrap();
    file
}

pub(crate) fn numbered(first: u64, records: &[Owned]) -> Vec<Record<'_>> {
    let lsns = first..;
    lsns.zip(records)
        .map(|(lsn, owned)| owned.as_record(lsn))
        .collect()
}

/// Writes, seals and publishes a file under its final name.
pub(crate) fn sealed(dir: &dyn Directory, after: Position, records: &[Owned]) -> SealedFile {
    let file = opened(dir, after, records);
    let now = Timestamp(T0 + file.last_lsn().get() * 1_000_000 + 500);
    let sealed = file.seal(now).unwrap();
    sealed.publish(dir, dir).unwrap();
    sealed
}

/// Everything that a verified file says about its transactions.
pub(crate) fn content(file: &VerifiedFile) -> Vec<(aim_core::format::Iocb, Vec<u8>)> {
    let payload = |iocb: &aim_core::format::Iocb| {
        let mut buffer = vec![0; iocb.stored_size() as usize];
        file.read_payload(iocb, &mut buffer).unwrap();
        buffer
    };
    let records = file.records().iter();
    records.map(|iocb| (*iocb, payload(iocb))).collect()
}

/// An empty folder in memory.
pub(crate) fn folder() -> Arc<dyn Directory> {
    MemFileSystem::new(Power::steady()).folder("/journal")
}

/// All bytes of a file.
pub(crate) fn read(dir: &dyn Directory, name: &str) -> Vec<u8> {
    dir.read_small(name, 1 << 30).unwrap()
}

/// Replaces a file, and opens it.
pub(crate) fn put(dir: &dyn Directory, name: &str, content: &[u8]) -> Arc<dyn DirFile> {
    // it need not be there
    let _ = dir.remove(name);
    let file = dir.create(name).unwrap();
    file.write_all_at(&[IoSlice::new(content)], 0).unwrap();
    file
}

/// A file in memory with this content.
pub(crate) fn file(content: &[u8]) -> Arc<dyn DirFile> {
    put(&*folder(), "file", content)
}

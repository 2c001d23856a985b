//! A series of journal files made of random transactions, and what a device holds after each.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't make its material fails by panicking"
)]

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::format::checksum::payload_checksum;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{FileName, OpenFile, OpenSpec, ParsedFile, Record, VerifiedFile};
use aim_core::units::{ByteLen, ByteOffset, Timestamp};

use crate::{MemFileSystem, Power, Rng};

/// Writes files of random transactions that follow each other into a folder in memory.
#[derive(Debug)]
pub struct Series {
    identity: VolumeIdentity,
    folder: Arc<dyn Directory>,
    rng: Rng,
    position: Position,
    time: u64,
    devices: Vec<Vec<u8>>,
    is_in_group: bool,
    hides_groups: bool,
}

/// A file of a [`Series`].
#[derive(Clone, Debug)]
pub struct SeriesFile {
    /// Its name in the series' folder.
    pub name: FileName,
    /// The place just behind it.
    pub position: Position,
    /// Time of its last transaction.
    pub last_time: Timestamp,
    /// What each device holds after it.
    pub devices: Vec<Vec<u8>>,
}

/// A transaction that owns its payload.
#[derive(Clone, Debug)]
struct Transaction {
    device: u16,
    kind: Kind,
    offset: u64,
    len: u64,
    payload: Vec<u8>,
}

impl Transaction {
    /// One end of a group.
    fn mark(kind: Kind) -> Self {
        Self {
            device: 0,
            kind,
            offset: 0,
            len: 0,
            payload: Vec::new(),
        }
    }
}

impl Series {
    /// An empty series; the devices hold zeroes. Everything it does follows from `seed`.
    pub fn new(identity: VolumeIdentity, seed: u64) -> Self {
        let devices = identity.devices.iter();
        Self {
            devices: devices
                .map(|device| vec![0; device.size.get() as usize])
                .collect(),
            identity,
            folder: MemFileSystem::new(Power::steady()).folder("/series"),
            rng: Rng::new(seed),
            position: Position::START,
            time: 0,
            is_in_group: false,
            hides_groups: false,
        }
    }

    /// The same transactions as without this, except that nothing is journaled where a group
    /// begins or ends: what an applier that ignores groups would see.
    #[must_use]
    pub fn without_groups(mut self) -> Self {
        self.hides_groups = true;
        self
    }

    /// The volume.
    pub fn identity(&self) -> &VolumeIdentity {
        &self.identity
    }

    /// Where the files are.
    pub fn folder(&self) -> &Arc<dyn Directory> {
        &self.folder
    }

    /// The place just behind the last file.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Pretends that the series has come to `position`, to make files that don't fit.
    pub fn set_position(&mut self, position: Position) {
        self.position = position;
        self.is_in_group = position.is_in_group();
    }

    /// Pretends to be another volume, to make files that don't fit.
    pub fn set_identity(&mut self, identity: VolumeIdentity) {
        self.identity = identity;
    }

    /// Writes and seals the next file, of `count` random transactions. It ends outside of a group.
    pub fn next_file(&mut self, count: u32) -> SeriesFile {
        self.write_file(count, false)
    }

    /// Writes and seals the next file, of `count` random transactions, which ends in a group: in
    /// the one that is open or in one that begins in it.
    pub fn next_file_in_group(&mut self, count: u32) -> SeriesFile {
        self.write_file(count, true)
    }

    /// Writes and seals the next file, of these transactions on the first device, given by kind,
    /// offset and length. Payloads are random, digests those of what the device holds.
    pub fn next_file_of(&mut self, transactions: &[(Kind, u64, u64)]) -> SeriesFile {
        let mut open = self.open_file(transactions.len() as u32);
        for &(kind, offset, len) in transactions {
            let mut transaction = Transaction {
                offset,
                len,
                ..Transaction::mark(kind)
            };
            match kind {
                Kind::Write => self.fill(&mut transaction),
                Kind::Verify { .. } => self.digest(&mut transaction),
                _ => {}
            }
            self.append(&mut open, transaction);
        }
        self.seal(open)
    }

    fn write_file(&mut self, count: u32, ends_in_group: bool) -> SeriesFile {
        let mut open = self.open_file(count);
        for left in (0..count).rev() {
            let transaction = match (self.is_in_group, ends_in_group, left) {
                (true, false, 0) => Transaction::mark(Kind::GroupEnd),
                // an earlier end must leave room for another begin
                (true, _, 1..) if self.rng.chance(10) => Transaction::mark(Kind::GroupEnd),
                (false, true, 0) => self.group_begin(),
                (false, _, 1..) if self.rng.chance(10) => self.group_begin(),
                _ => self.random_transaction(),
            };
            self.append(&mut open, transaction);
        }
        self.seal(open)
    }

    fn open_file(&self, count: u32) -> OpenFile {
        let spec = OpenSpec {
            volume: self.identity.clone(),
            after: self.position,
            iocb_capacity: count,
            target_size: ByteLen(1 << 30),
            created: Timestamp(self.time),
            floor: Timestamp(self.time),
        };
        OpenFile::create(&*self.folder, &spec).unwrap()
    }

    fn append(&mut self, open: &mut OpenFile, mut transaction: Transaction) {
        match transaction.kind {
            Kind::GroupBegin { .. } => self.is_in_group = true,
            Kind::GroupEnd => self.is_in_group = false,
            _ => {}
        }
        if let Kind::GroupBegin { .. } | Kind::GroupEnd = transaction.kind
            && self.hides_groups
        {
            transaction.kind = Kind::Void;
        }
        self.time += self.rng.below(1000);
        let record = Record {
            lsn: open.last_lsn().next(),
            device: transaction.device,
            kind: transaction.kind,
            fua: transaction.kind == Kind::Write && self.rng.chance(8),
            offset: ByteOffset(transaction.offset),
            len: ByteLen(transaction.len),
            payload: &transaction.payload,
            time: Timestamp(self.time),
        };
        open.append(&[record]).unwrap();
        self.do_it(&transaction);
    }

    fn seal(&mut self, open: OpenFile) -> SeriesFile {
        let sealed = open.seal(Timestamp(self.time)).unwrap();
        sealed.publish(&*self.folder, &*self.folder).unwrap();
        self.position = sealed.position;
        SeriesFile {
            name: sealed.name,
            position: sealed.position,
            last_time: sealed.last_time,
            devices: self.devices.clone(),
        }
    }

    /// Opens one of the files, and reads its header.
    pub fn parsed(&self, file: &SeriesFile) -> ParsedFile {
        let opened = self.folder.open(&file.name.sealed(), false).unwrap();
        ParsedFile::open(opened).unwrap()
    }

    /// Opens one of the files.
    pub fn verified(&self, file: &SeriesFile) -> VerifiedFile {
        let opened = self.folder.open(&file.name.sealed(), false).unwrap();
        VerifiedFile::open(opened).unwrap()
    }

    fn group_begin(&mut self) -> Transaction {
        Transaction::mark(Kind::GroupBegin {
            hole: self.rng.chance(2),
        })
    }

    /// Something that can happen to a disk; ranges are small, so that they often overlap.
    fn random_transaction(&mut self) -> Transaction {
        let device = self.rng.below(self.identity.devices.len() as u64) as u16;
        let identity = &self.identity.devices[usize::from(device)];
        let block = u64::from(identity.block_size);
        let blocks = identity.size.get() / block;
        let first = self.rng.below(blocks);
        let mut transaction = Transaction {
            device,
            kind: Kind::Write,
            offset: first * block,
            len: (1 + self.rng.below((blocks - first).min(8))) * block,
            payload: Vec::new(),
        };
        match self.rng.below(11) {
            0 => {
                (transaction.kind, transaction.offset, transaction.len) = (Kind::Flush, 0, 0);
            }
            1 => transaction.kind = Kind::Discard,
            2 => {
                let unmap = self.rng.chance(2);
                transaction.kind = Kind::WriteZeroes { unmap };
            }
            3 => transaction.kind = Kind::Void,
            4 => self.digest(&mut transaction),
            _ => self.fill(&mut transaction),
        }
        transaction
    }

    fn fill(&mut self, transaction: &mut Transaction) {
        transaction.payload = vec![0; transaction.len as usize];
        self.rng.fill(&mut transaction.payload);
    }

    fn digest(&self, transaction: &mut Transaction) {
        let device = &self.devices[usize::from(transaction.device)];
        let range = &device[transaction.offset as usize..][..transaction.len as usize];
        let digest = payload_checksum(range);
        transaction.kind = Kind::Verify { digest };
    }

    fn do_it(&mut self, transaction: &Transaction) {
        let device = &mut self.devices[usize::from(transaction.device)];
        let range = &mut device[transaction.offset as usize..][..transaction.len as usize];
        match transaction.kind {
            Kind::Write => range.copy_from_slice(&transaction.payload),
            Kind::WriteZeroes { .. } | Kind::Discard => range.fill(0),
            _ => {}
        }
    }
}

//! A series of journal files, as a writer makes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{OpenFile, OpenSpec, Record};
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, ByteOffset, Lsn, Timestamp};

use crate::program::text;

/// Size of the disk that it is for.
pub(crate) const SIZE: u64 = 1 << 20;
const TIME: u64 = 1_700_000_000_000_000_000;

/// A series of three files in `outgoing/`, a fourth one open, and a blank disk.
pub(crate) struct Series {
    folder: tempfile::TempDir,
    volume: VolumeIdentity,
    /// The sealed ones, in order.
    pub(crate) files: Vec<PathBuf>,
}

impl Series {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = std::fs::File::create(folder.path().join("disk.img")).unwrap();
        disk.set_len(SIZE).unwrap();
        let volume = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let mut series = Self {
            folder,
            volume: volume.clone(),
            files: Vec::new(),
        };
        let mut after = Position::START;
        for number in 1..=3 {
            after = series.write(&volume, after, number);
        }
        let open: Arc<dyn Directory> = HostDirectory::open_or_create(series.path("open")).unwrap();
        let mut file = OpenFile::create(&*open, &spec(&volume, after)).unwrap();
        file.append(&[write(after.lsn.next(), 0, &[9; 512])])
            .unwrap();
        file.sync().unwrap();
        series
    }

    /// A file that fills block `number` with that number, clears the first block and flushes.
    fn write(&mut self, volume: &VolumeIdentity, after: Position, number: u8) -> Position {
        let open: Arc<dyn Directory> = HostDirectory::open_or_create(self.path("open")).unwrap();
        let outgoing: Arc<dyn Directory> =
            HostDirectory::open_or_create(self.path("outgoing")).unwrap();
        let mut file = OpenFile::create(&*open, &spec(volume, after)).unwrap();
        let first = after.lsn.next();
        let zeroes = Record {
            kind: Kind::WriteZeroes { unmap: true },
            payload: &[],
            ..write(first.next(), 0, &[0; 512])
        };
        let flush = Record {
            lsn: first.next().next(),
            kind: Kind::Flush,
            offset: ByteOffset(0),
            len: ByteLen(0),
            ..zeroes
        };
        let block = [number; 512];
        let all = [write(first, u64::from(number) * 512, &block), zeroes, flush];
        file.append(&all).unwrap();
        let sealed = file.seal(Timestamp(TIME)).unwrap();
        sealed.publish(&*open, &*outgoing).unwrap();
        self.files
            .push(self.path("outgoing").join(sealed.name.sealed()));
        sealed.position
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts `volume.id` into a mirror's directory, as `aim init` on the source does.
    pub(crate) fn store_identity(&self, directory: &Path) {
        let directory: Arc<dyn Directory> = HostDirectory::open(directory).unwrap();
        self.volume.store(&*directory).unwrap();
    }

    /// Asserts that a disk that was blank holds the sealed files now.
    #[track_caller]
    pub(crate) fn assert_applied(&self, disk: &Path) {
        let content = std::fs::read(disk).unwrap();
        for number in 0..=4u8 {
            let expected = if number == 4 { 0 } else { number };
            let block = &content[usize::from(number) * 512..][..512];
            assert!(block.iter().all(|byte| *byte == expected), "block {number}");
        }
    }

    pub(crate) fn root(&self) -> &str {
        text(self.folder.path())
    }
}

fn spec(volume: &VolumeIdentity, after: Position) -> OpenSpec {
    OpenSpec {
        volume: volume.clone(),
        after,
        iocb_capacity: 64,
        target_size: ByteLen(1 << 20),
        created: Timestamp(TIME),
        floor: Timestamp(0),
    }
}

fn write(lsn: Lsn, offset: u64, payload: &[u8]) -> Record<'_> {
    Record {
        lsn,
        device: 0,
        kind: Kind::Write,
        fua: false,
        offset: ByteOffset(offset),
        len: ByteLen(payload.len() as u64),
        payload,
        time: Timestamp(TIME),
    }
}

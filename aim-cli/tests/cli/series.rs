//! A series of journal files, as a writer makes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{OpenFile, OpenSpec, Record};
use aim_core::packed::{Level, Packer};
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
    /// Just behind the last of them.
    end: Position,
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
            end: Position::START,
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
        self.seal(volume, "outgoing", &all)
    }

    fn seal(&mut self, volume: &VolumeIdentity, folder: &str, all: &[Record<'_>]) -> Position {
        let path = self.path(folder);
        let folder: Arc<dyn Directory> = HostDirectory::open_or_create(&path).unwrap();
        let mut file = OpenFile::create(&*folder, &spec(volume, self.end)).unwrap();
        file.append(all).unwrap();
        let sealed = file.seal(Timestamp(TIME)).unwrap();
        sealed.publish(&*folder, &*folder).unwrap();
        self.files.push(path.join(sealed.name.sealed()));
        self.end = sealed.position;
        sealed.position
    }

    /// Adds three files in a folder of their own. The first two are a group that writes the
    /// tenth and the eleventh block and verifies the tenth; the third verifies the first three
    /// blocks, and is wrong.
    pub(crate) fn add_group(&mut self) {
        let block = [10; 512];
        let digest = aim_core::format::checksum::payload_checksum(&block);
        let verify = Kind::Verify { digest };
        let volume = self.volume.clone();
        let mark = |lsn, kind, block: u64, blocks: u64| Record {
            kind,
            len: ByteLen(blocks * 512),
            payload: &[],
            ..write(lsn, block * 512, &[0; 512])
        };
        let lsn = |more| Lsn(self.end.lsn.get() + more);
        let (one, two, three, four) = (lsn(1), lsn(2), lsn(3), lsn(4));
        let (five, six) = (lsn(5), lsn(6));
        let begin = mark(one, Kind::GroupBegin { hole: false }, 0, 0);
        self.seal(&volume, "more", &[begin, write(two, 10 * 512, &block)]);
        let rest = [
            write(three, 11 * 512, &block),
            mark(four, verify, 10, 1),
            mark(five, Kind::GroupEnd, 0, 0),
        ];
        self.seal(&volume, "more", &rest);
        self.seal(&volume, "more", &[mark(six, verify, 0, 3)]);
    }

    /// Adds a file that is a baseline: fives in the first block, and nothing in all others.
    pub(crate) fn add_baseline_file(&mut self) {
        let volume = self.volume.clone();
        let begin = self.end.lsn.next();
        let mark = |lsn, kind| Record {
            kind,
            len: ByteLen(0),
            payload: &[],
            ..write(lsn, 0, &[0; 512])
        };
        let [zeroes, fives, end] = [1, 2, 3].map(|more| Lsn(begin.get() + more));
        let blank = Record {
            len: ByteLen(SIZE),
            ..mark(zeroes, Kind::WriteZeroes { unmap: true })
        };
        let records = [
            mark(begin, Kind::BaselineBegin),
            blank,
            write(fives, 0, &[5; 512]),
            mark(end, Kind::BaselineEnd { begin }),
        ];
        self.seal(&volume, "more", &records);
    }

    /// Adds files 4 to 7 in the folder `more`: the fourth belongs to no baseline, the fifth begins one
    /// that the sixth ends and that holds all of the disk, the seventh follows. The blocks of
    /// [`assert_applied`](Self::assert_applied) are as they were.
    pub(crate) fn add_baseline(&mut self) {
        let volume = self.volume.clone();
        let half = SIZE / 2;
        let mut first = vec![0; half as usize];
        for number in 1..=3u8 {
            first[usize::from(number) * 512..][..512].fill(number);
        }
        let second = vec![5; half as usize];
        let mark = |lsn, kind| Record {
            kind,
            len: ByteLen(0),
            payload: &[],
            ..write(lsn, 0, &[0; 512])
        };
        let lsn = |more| Lsn(self.end.lsn.get() + more);
        let [four, begin, two, three, end, last] = [1, 2, 3, 4, 5, 6].map(lsn);
        let block = [4; 512];
        self.seal(&volume, "more", &[write(four, 9 * 512, &block)]);
        let opened = [mark(begin, Kind::BaselineBegin), write(two, 0, &first)];
        self.seal(&volume, "more", &opened);
        let ended = [
            write(three, half, &second),
            mark(end, Kind::BaselineEnd { begin }),
        ];
        self.seal(&volume, "more", &ended);
        self.seal(&volume, "more", &[write(last, 11 * 512, &block)]);
    }

    /// Packs one of the sealed files, in its place.
    pub(crate) fn pack(&mut self, index: usize) {
        let path = self.files[index].clone();
        let packed = self.packed(index);
        std::fs::remove_file(&path).unwrap();
        self.files[index] = PathBuf::from(format!("{}.zst", text(&path)));
        std::fs::write(&self.files[index], packed).unwrap();
    }

    /// What a shipper makes of one of them.
    pub(crate) fn packed(&self, index: usize) -> Vec<u8> {
        let path = &self.files[index];
        let folder = HostDirectory::open(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = folder.open(name, false).unwrap();
        let mut packer = Packer::new(file, Level::MIN).unwrap();
        let mut bytes = Vec::new();
        while let Some(more) = packer.next_bytes().unwrap() {
            bytes.extend(more);
        }
        bytes
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
        target_size: ByteLen(4 << 20),
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

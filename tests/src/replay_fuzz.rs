//! What must hold whatever files a mirror is given: the body of the fuzz target `replay`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold fails by panicking"
)]

use std::io::{self, IoSlice};
use std::sync::Arc;

use aim_core::cursor::{MirrorCursorFile, Position};
use aim_core::device::{BlockDevice, MemDevice, check_range};
use aim_core::format::Kind;
use aim_core::format::checksum::payload_checksum;
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::journal::VerifiedFile;
use aim_core::replay::{Replay, ReplayError, Summary};
use aim_core::units::{ByteLen, ByteOffset, DeviceId, Epoch, VolumeId};

use crate::forge::{Choices, forge_file};
use crate::{MemFileSystem, Power};

/// Most files that one input makes.
const FILES_MAX: usize = 12;

/// What became of the files of one input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fates {
    /// Not journal files that can be believed.
    pub unreadable: u64,
    /// Sound files that don't belong here.
    pub refused: u64,
    /// Applied before.
    pub repeated: u64,
    /// Applied.
    pub applied: u64,
    /// Applied with files before it, which ended in a group.
    pub grouped: u64,
    /// Verify records that did not match.
    pub mismatches: u64,
    /// Verify records that did.
    pub matches: u64,
}

/// Gives a mirror the files that `input` makes, and sees that none is applied that is not the
/// sound next one of the series, that no byte outside the device is touched, that a file that is
/// not applied changes nothing, that a group is applied whole, and that exactly what differs is
/// told.
///
/// # Panics
///
/// Where that does not hold.
pub fn replay_any_files(input: &[u8]) -> Fates {
    let volume = volume();
    let folder = MemFileSystem::new(Power::steady()).folder("/mirror");
    let cursor = MirrorCursorFile::open(folder.clone(), volume.id).unwrap();
    let disks = volume.devices.iter().map(Guarded::new);
    let disks: Vec<Arc<Guarded>> = disks.map(Arc::new).collect();
    let devices = disks.iter().cloned();
    let devices = devices.map(|disk| disk as Arc<dyn BlockDevice>).collect();
    let mut mirror = Scene {
        replay: Replay::new(volume.clone(), devices, Arc::new(cursor)).unwrap(),
        model: disks.iter().map(|disk| disk.0.content()).collect(),
        differing: disks.iter().map(|disk| disk.differs_nowhere()).collect(),
        disks,
        volume,
        waiting: Vec::new(),
    };
    let mut choices = Choices::new(input);
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut fates = Fates::default();
    while !choices.is_empty() && files.len() < FILES_MAX {
        let bytes = next_file(&mut choices, &mirror, &files);
        let file = folder.create(&format!("file-{}", files.len())).unwrap();
        file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
        files.push(bytes);
        match VerifiedFile::open(file) {
            Ok(file) => mirror.take(file, &mut fates),
            Err(_) => fates.unreadable += 1,
        }
    }
    fates
}

/// A mirror, and what it must hold.
struct Scene {
    volume: VolumeIdentity,
    replay: Replay,
    disks: Vec<Arc<Guarded>>,
    model: Vec<Vec<u8>>,
    /// Which sectors differ, by device.
    differing: Vec<Vec<bool>>,
    /// Files of a group that has not ended.
    waiting: Vec<VerifiedFile>,
}

fn next_file(choices: &mut Choices<'_>, scene: &Scene, earlier: &[Vec<u8>]) -> Vec<u8> {
    let applied = scene.reached();
    match choices.byte() {
        0x00 => {
            let len = usize::from(choices.byte()) << 5;
            choices.bytes(len).to_vec()
        }
        0x10 | 0x11 if !earlier.is_empty() => {
            earlier[usize::from(choices.byte()) % earlier.len()].clone()
        }
        0x20 => {
            let mut bytes = forge_file(choices, &scene.volume, applied);
            for _ in 0..=choices.byte() % 4 {
                let place = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
                let len = bytes.len();
                bytes[place % len] ^= choices.byte();
            }
            bytes
        }
        0x30 => {
            let mut bytes = forge_file(choices, &scene.volume, applied);
            bytes.truncate(usize::from(choices.byte()) << 8 | usize::from(choices.byte()));
            bytes
        }
        0x40 => forge_file(choices, &scene.volume, Position::START),
        _ => forge_file(choices, &scene.volume, applied),
    }
}

impl Scene {
    /// Behind what is applied and what waits for the end of its group.
    fn reached(&self) -> Position {
        let applied = self.replay.cursor().applied;
        self.waiting.last().map_or(applied, VerifiedFile::position)
    }

    fn take(&mut self, file: VerifiedFile, fates: &mut Fates) {
        let before = self.replay.cursor();
        let reached = self.reached();
        let run: Vec<_> = self.waiting.iter().chain([&file]).collect();
        let told = self.replay.dry_run(&run);
        let done = self.replay.apply_run(&run);
        let after = self.replay.cursor();
        match done {
            Ok(summary) if summary.files == 0 => {
                fates.repeated += 1;
                assert!(file.header().number <= reached.file);
            }
            Ok(summary) => {
                assert_eq!(after.applied, file.position());
                self.assert_belongs(&file, reached);
                self.waiting.push(file);
                self.assert_done(summary, told.unwrap(), fates);
                return;
            }
            Err(ReplayError::InGroup { .. }) if file.header().number <= reached.file => {
                fates.repeated += 1;
            }
            Err(ReplayError::InGroup { .. }) => {
                self.assert_belongs(&file, reached);
                assert!(file.position().is_in_group());
                self.waiting.push(file);
            }
            Err(_) => {
                fates.refused += 1;
                assert!(told.is_err());
            }
        }
        assert_eq!(after, before);
        self.assert_same();
    }

    /// What waited was applied.
    fn assert_done(&mut self, summary: Summary, told: Summary, fates: &mut Fates) {
        let files = std::mem::take(&mut self.waiting);
        assert_eq!(summary.files, files.len() as u64);
        fates.applied += 1;
        fates.grouped += summary.files - 1;
        let (mut begins, mut mismatches) = (0, 0);
        for file in &files {
            begins += u64::from(file.header().open_group.get() != 0);
            mismatches += self.do_it(file);
        }
        assert_eq!(begins + 1, summary.files, "a run goes on only in a group");
        assert_eq!(
            (summary.mismatches, summary.verifies_skipped),
            (mismatches, 0)
        );
        fates.mismatches += mismatches;
        fates.matches += summary.verifies - mismatches;
        let unknown = Summary {
            mismatches: 0,
            bytes_mismatched: 0,
            ..summary
        };
        assert_eq!(told, unknown);
        assert!(self.replay.cursor().is_settled());
        self.assert_same();
    }

    fn assert_same(&self) {
        for (disk, model) in self.disks.iter().zip(&self.model) {
            assert!(&disk.0.content() == model, "a device holds something else");
        }
        let mut told: Vec<_> = (self.disks.iter())
            .map(|disk| disk.differs_nowhere())
            .collect();
        for range in self.replay.differences().ranges() {
            let sectors = sectors(range.offset, range.len);
            told[usize::from(range.device)][sectors].fill(true);
        }
        assert_eq!(told, self.differing);
    }

    fn assert_belongs(&self, file: &VerifiedFile, before: Position) {
        let header = file.header();
        assert_eq!(header.volume, self.volume);
        assert_eq!(header.number, before.file.next());
        assert_eq!(header.first_lsn, before.lsn.next());
        assert_eq!(header.previous, before.digest);
        assert_eq!(header.open_group, before.open_group);
    }

    /// The plainest way to apply a file. Gives how many verify records did not match.
    fn do_it(&mut self, file: &VerifiedFile) -> u64 {
        let mut mismatches = 0;
        for iocb in file.records() {
            let index = usize::from(iocb.device);
            let start = iocb.offset.get() as usize;
            let range = &mut self.model[index][start..][..iocb.len.get() as usize];
            let differs = match iocb.kind {
                Kind::Write => {
                    file.read_payload(iocb, range).unwrap();
                    false
                }
                Kind::WriteZeroes { .. } | Kind::Discard => {
                    range.fill(0);
                    false
                }
                Kind::Verify { digest } => digest != payload_checksum(range),
                _ => continue,
            };
            mismatches += u64::from(differs);
            self.differing[index][sectors(iocb.offset, iocb.len)].fill(differs);
        }
        mismatches
    }
}

fn sectors(offset: ByteOffset, len: ByteLen) -> std::ops::Range<usize> {
    let start = (offset.get() / 512) as usize;
    start..start + (len.get() / 512) as usize
}

fn volume() -> VolumeIdentity {
    let device = |id, blocks, block_size: u32| DeviceIdentity {
        id: DeviceId([id; 16]),
        size: ByteLen(blocks * u64::from(block_size)),
        block_size,
    };
    VolumeIdentity {
        id: VolumeId([0xa1; 16]),
        epoch: Epoch(2),
        devices: vec![device(1, 24, 512), device(2, 6, 4096)],
    }
}

/// A disk that is not to be touched outside.
#[derive(Debug)]
struct Guarded(MemDevice);

impl Guarded {
    fn new(identity: &DeviceIdentity) -> Self {
        // not zeroes, so that zeroing shows
        let content = vec![0x5a; identity.size.get() as usize];
        Self(MemDevice::with_content(content, identity.block_size))
    }

    /// A flag for each sector.
    fn differs_nowhere(&self) -> Vec<bool> {
        vec![false; (self.0.size().get() / 512) as usize]
    }

    fn guard(&self, offset: ByteOffset, len: u64) {
        check_range(self, offset, ByteLen(len)).expect("a request inside the device");
    }
}

impl BlockDevice for Guarded {
    fn size(&self) -> ByteLen {
        self.0.size()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.guard(offset, buffer.len() as u64);
        self.0.read(offset, buffer)
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.guard(offset, data.len() as u64);
        self.0.write(offset, data)
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        self.guard(offset, len.get());
        self.0.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

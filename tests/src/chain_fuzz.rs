//! What must hold whatever files lie in a folder: the body of the fuzz target `chain`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::IoSlice;

use aim_core::cursor::Position;
use aim_core::format::Header;
use aim_core::format::limits::HEADER_BYTES;
use aim_core::fs::Directory;
use aim_core::identity::{DeviceIdentity, VolumeIdentity};
use aim_core::journal::{ChainReport, FileName, VerifiedFile, verify_chain};
use aim_core::units::{ByteLen, DeviceId, Epoch, VolumeId};

use crate::forge::{Choices, forge_file};
use crate::{MemFileSystem, Power};

/// Most files that one input makes.
const FILES_MAX: usize = 10;

/// What the folder of one input looked like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chains {
    /// Series without a fault, of more than one file.
    pub whole: u64,
    /// Series with a good beginning and a fault behind it.
    pub broken: u64,
    /// Faults found.
    pub faults: u64,
}

/// Fills a folder with the files that `input` makes and verifies it as a series: what is called
/// whole must be whole by the plainest reading of the specification, and nothing else.
///
/// # Panics
///
/// Where that does not hold.
pub fn verify_any_chain(input: &[u8]) -> Chains {
    let folder = MemFileSystem::new(Power::steady()).folder("/outgoing");
    let volume = volume();
    let mut choices = Choices::new(input);
    let from_start = choices.byte().is_multiple_of(2);
    let files = make_files(&mut choices, &volume, &*folder);
    let after = from_start.then_some(Position::START);
    let report = verify_chain(&*folder, volume.id, after).unwrap();

    assert_eq!(report.files.len() + report.others.len(), files.len());
    let plain = PlainChain::walk(&report, &files, volume.id, after);
    assert_eq!(report.whole_to, plain.whole_to);
    assert_eq!(report.is_whole(), plain.faults == 0);
    Chains {
        whole: u64::from(plain.faults == 0 && plain.good > 1),
        broken: u64::from(plain.faults != 0 && plain.good > 0),
        faults: report.problems().count() as u64,
    }
}

fn make_files(
    choices: &mut Choices<'_>,
    volume: &VolumeIdentity,
    folder: &dyn Directory,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut reached = Position::START;
    while !choices.is_empty() && files.len() < FILES_MAX {
        let choice = choices.byte();
        let mut volume = volume.clone();
        if choice == 0x40 {
            volume.epoch = Epoch(volume.epoch.get() + 1);
        }
        let mut bytes = forge_file(choices, &volume, reached);
        let mut name = match header_of(&bytes) {
            Some(header) => name_of(&header).sealed(),
            None => format!("{}.aim", files.len()),
        };
        match choice {
            // lost
            0x00 => {
                reached = position_of(&bytes).unwrap_or(reached);
                continue;
            }
            0x10 => {
                let len = bytes.len();
                bytes[usize::from(choices.byte()) * 64 % len] ^= choices.byte();
            }
            0x20 => name.push_str(".part"),
            0x30 => {
                name = FileName {
                    volume: volume.id,
                    epoch: volume.epoch,
                    number: reached.file.next().next(),
                }
                .sealed();
            }
            _ => {}
        }
        reached = position_of(&bytes).unwrap_or(reached);
        // of two files of one name the first stays
        if let Ok(file) = folder.create(&name) {
            file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
            files.insert(name, bytes);
        }
    }
    files
}

/// A walk that believes one file at a time.
struct PlainChain {
    whole_to: Option<Position>,
    good: u64,
    faults: u64,
}

impl PlainChain {
    fn walk(
        report: &ChainReport,
        files: &BTreeMap<String, Vec<u8>>,
        volume: VolumeId,
        after: Option<Position>,
    ) -> Self {
        let mut plain = Self {
            whole_to: after,
            good: 0,
            faults: 0,
        };
        let mut is_whole = true;
        let mut devices = None;
        // the text of names sorts like the series
        let names = files.keys().filter(|name| name.parse::<FileName>().is_ok());
        for (name, told) in names.zip(&report.files) {
            assert_eq!(*name, told.name.sealed());
            if told.name.volume != volume {
                plain.faults += 1;
                assert!(told.outcome.is_err());
                continue;
            }
            let Some((header, position)) = sound(&files[name], told.name) else {
                plain.faults += 1;
                is_whole = false;
                assert!(told.outcome.is_err());
                continue;
            };
            let devices = devices.get_or_insert_with(|| header.volume.devices.clone());
            let is_same = *devices == header.volume.devices;
            let follows = is_same
                && plain.whole_to.is_none_or(|before| {
                    header.number.get() == before.file.get() + 1
                        && header.first_lsn.get() == before.lsn.get() + 1
                        && header.previous == before.digest
                        && header.open_group == before.open_group
                        && header.volume.epoch >= before.epoch
                });
            let is_behind = is_same
                && plain.whole_to.is_some_and(|before| {
                    header.number <= before.file || header.volume.epoch < before.epoch
                });
            plain.faults += u64::from(told.outcome.is_err());
            match (is_whole, follows) {
                (true, true) => {
                    assert_eq!(told.outcome.as_ref().unwrap().position, position);
                    plain.whole_to = Some(position);
                    plain.good += 1;
                }
                (true, false) => {
                    assert!(told.outcome.is_err());
                    is_whole = is_behind;
                }
                // behind a fault each next file is taken as it is
                (false, _) => {}
            }
        }
        plain
    }
}

fn sound(bytes: &[u8], name: FileName) -> Option<(Header, Position)> {
    let position = position_of(bytes)?;
    let header = header_of(bytes)?;
    (name_of(&header) == name).then_some((header, position))
}

fn header_of(bytes: &[u8]) -> Option<Header> {
    Header::parse(bytes.first_chunk::<HEADER_BYTES>()?).ok()
}

/// The place behind a file that can be verified.
fn position_of(bytes: &[u8]) -> Option<Position> {
    let folder = MemFileSystem::new(Power::steady()).folder("/file");
    let file = folder.create("file").unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    Some(VerifiedFile::open(file).ok()?.position())
}

fn name_of(header: &Header) -> FileName {
    FileName {
        volume: header.volume.id,
        epoch: header.volume.epoch,
        number: header.number,
    }
}

fn volume() -> VolumeIdentity {
    let device = |id, size, block_size| DeviceIdentity {
        id: DeviceId([id; 16]),
        size: ByteLen(size),
        block_size,
    };
    VolumeIdentity {
        id: VolumeId([0xc4; 16]),
        epoch: Epoch(2),
        // small blocks make small payloads, and more inputs in the same time
        devices: vec![device(1, 1 << 20, 512), device(2, 1 << 18, 512)],
    }
}

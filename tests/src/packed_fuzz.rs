//! What must hold whatever bytes are taken for a packed file: the body of the fuzz target `packed`.

#![expect(
    clippy::unwrap_used,
    reason = "a property that does not hold fails by panicking"
)]

use std::io::IoSlice;
use std::sync::Arc;

use aim_core::format::checksum::payload_checksum;
use aim_core::format::limits::{HEADER_BYTES, MAX_FILE_BYTES};
use aim_core::fs::DirFile;
use aim_core::packed::{Level, PIECE_BYTES, PackedView, Packer, UnpackError, Unpacker};

use crate::{MemFileSystem, Power};

/// What became of the bytes of one input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpackings {
    /// The header could be believed.
    pub opened: u64,
    /// All of it could be.
    pub unpacked: u64,
}

/// Takes `input` for a packed file, as it is and with its checksums put right, so that what lies
/// behind them is reached; and for the content of a file that is packed.
///
/// # Panics
///
/// Where something comes out that is not exactly what the header says, where what comes out is not
/// what comes out again after it was packed, or where a flipped bit is not found.
pub fn unpack_any_file(input: &[u8]) -> Unpackings {
    let mut unpackings = Unpackings::default();
    read(input, &mut unpackings);
    let repaired = repair(input.to_vec());
    if repaired != input {
        read(&repaired, &mut unpackings);
    }
    let mut content = input.to_vec();
    content.resize(content.len().max(HEADER_BYTES), 0);
    assert_packed_and_unpacked(&content);
    unpackings
}

fn read(bytes: &[u8], unpackings: &mut Unpackings) {
    let Ok(unpacker) = Unpacker::open(file(bytes)) else {
        return;
    };
    unpackings.opened += 1;
    let raw = unpacker.raw_bytes();
    assert!((HEADER_BYTES as u64..=MAX_FILE_BYTES).contains(&raw));
    let viewed = view(bytes);
    let Ok(content) = unpack(bytes) else {
        assert!(viewed.is_err(), "a view gives what is not in the file");
        return;
    };
    unpackings.unpacked += 1;
    assert_eq!(content.len() as u64, raw);
    assert!(viewed.unwrap() == content);
    assert_packed_and_unpacked(&content);
    let choice = payload_checksum(bytes) as usize;
    let mut flipped = bytes.to_vec();
    flipped[choice / 8 % bytes.len()] ^= 1 << (choice % 8);
    assert!(unpack(&flipped).is_err(), "a flipped bit is not found");
}

fn assert_packed_and_unpacked(content: &[u8]) {
    let packed = pack(content);
    assert!(packed.len() as u64 <= Packer::len_max(content.len() as u64));
    assert!(unpack(&packed).unwrap() == content);
}

fn file(bytes: &[u8]) -> Arc<dyn DirFile> {
    let folder = MemFileSystem::new(Power::steady()).folder("/incoming");
    let file = folder.create("file").unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

fn view(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let view = PackedView::open(file(bytes))?;
    let mut content = Vec::new();
    while (content.len() as u64) < view.len()? {
        let left = view.len()? - content.len() as u64;
        let mut piece = vec![0; left.min(PIECE_BYTES as u64) as usize];
        view.read_exact_at(&mut piece, content.len() as u64)?;
        content.append(&mut piece);
    }
    Ok(content)
}

fn pack(content: &[u8]) -> Vec<u8> {
    let mut packer = Packer::new(file(content), Level::MIN).unwrap();
    let mut packed = Vec::new();
    while let Some(bytes) = packer.next_bytes().unwrap() {
        packed.extend(bytes);
    }
    packed
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let mut unpacker = Unpacker::open(file(bytes))?;
    let mut content = Vec::new();
    while let Some(piece) = unpacker.next_piece()? {
        assert!(piece.len() <= PIECE_BYTES);
        content.extend_from_slice(piece);
    }
    Ok(content)
}

/// Puts checksums right. What they should be is in the error that they give.
fn repair(mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..REPAIRS {
        let (place, checksum) = match unpack(&bytes) {
            Err(UnpackError::Field {
                field: "checksum",
                expected,
                ..
            }) => (HEAD_CHECKSUM, expected),
            Err(UnpackError::Checksum { piece, found, .. }) => {
                (place_of(&bytes, piece) + PIECE_CHECKSUM, found)
            }
            _ => break,
        };
        bytes[place..place + 8].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// Where the header of a piece stands, before which all are whole.
fn place_of(bytes: &[u8], piece: u64) -> usize {
    (0..piece).fold(HEAD_BYTES, |place, _| {
        let stored = bytes[place + 8..].first_chunk().unwrap();
        place + PIECE_HEAD_BYTES + u32::from_le_bytes(*stored) as usize
    })
}

/// Checksums that are put right, at most.
const REPAIRS: usize = 4;

/// Offsets in `docs/format.md`.
const HEAD_BYTES: usize = 56;
const HEAD_CHECKSUM: usize = 48;
const PIECE_HEAD_BYTES: usize = 24;
const PIECE_CHECKSUM: usize = 16;

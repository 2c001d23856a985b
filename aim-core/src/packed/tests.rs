//! What is packed comes out again; nothing else does.

use std::io::{self, IoSlice};
use std::sync::Arc;

use proptest::prelude::*;

use super::header::{HEAD_BYTES, PIECE_HEAD_BYTES};
use super::*;
use crate::fs::{DirFile, Directory, HostDirectory};

struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, content: &[u8]) -> Arc<dyn DirFile> {
        let folder: Arc<dyn Directory> = HostDirectory::open(self.0.path()).unwrap();
        let number = folder.list().unwrap().len();
        let file = folder.create(&number.to_string()).unwrap();
        file.write_all_at(&[IoSlice::new(content)], 0).unwrap();
        file
    }

    fn pack(&self, content: &[u8], level: Level) -> Vec<u8> {
        let mut packer = Packer::new(self.file(content), level).unwrap();
        let mut packed = Vec::new();
        while let Some(bytes) = packer.next_bytes().unwrap() {
            packed.extend(bytes);
        }
        assert!(packed.len() as u64 <= Packer::len_max(content.len() as u64));
        packed
    }

    /// Reads all that is in a packed file through a view of it.
    fn view(&self, packed: &[u8]) -> io::Result<Vec<u8>> {
        let view = PackedView::open(self.file(packed))?;
        let mut content = vec![0; view.len()? as usize];
        view.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let mut unpacker = Unpacker::open(self.file(packed))?;
        let mut content = Vec::new();
        while let Some(piece) = unpacker.next_piece()? {
            content.extend_from_slice(piece);
        }
        assert_eq!(content.len() as u64, unpacker.raw_bytes());
        Ok(content)
    }
}

/// Half of it like text, half of it like nothing.
fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(len + 4096);
    while bytes.len() < len {
        let is_text = (bytes.len() >> 20).is_multiple_of(2);
        for _ in 0..512 {
            match is_text {
                true => bytes.extend(format!("{:07} ", random() % 100).as_bytes()),
                false => bytes.extend(random().to_le_bytes()),
            }
        }
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn what_is_packed_comes_out_again() {
    let case = Case::new();
    let level = Level::new(3).unwrap();
    let piece = PIECE_BYTES;
    for len in [4096, 5000, piece - 1, piece, piece + 1, 2 * piece + 131_073] {
        let content = content(len, 7);
        let packed = case.pack(&content, level);
        assert!(case.unpack(&packed).unwrap() == content, "{len} bytes");
        assert!(case.view(&packed).unwrap() == content, "{len} bytes");
        assert_eq!(case.pack(&content, level), packed);
    }
}

#[test]
fn what_does_not_shrink_is_hardly_longer() {
    let case = Case::new();
    let mut random = content(2 * PIECE_BYTES, 3);
    random.drain(..PIECE_BYTES);
    let packed = case.pack(&random, Level::MIN);
    assert_eq!(packed.len() as u64, Packer::len_max(PIECE_BYTES as u64));
    let zeroes = vec![0; 4 * PIECE_BYTES];
    assert!(case.pack(&zeroes, Level::MIN).len() < 2048);
}

/// The program of zstd, which knows nothing of ours, unpacks it too.
#[test]
fn it_is_a_file_of_zstd() {
    let case = Case::new();
    let content = content(3 * PIECE_BYTES + 5, 9);
    let packed = case.pack(&content, Level::MIN);
    let mut plain = vec![0; content.len()];
    let mut decompressor = zstd::bulk::Decompressor::new().unwrap();
    let len = decompressor
        .decompress_to_buffer(&packed, &mut plain[..])
        .unwrap();
    assert!(len == content.len() && plain == content);
}

#[test]
fn what_is_cut_longer_or_altered_is_refused() {
    let case = Case::new();
    let packed = case.pack(&content(PIECE_BYTES + 4096, 1), Level::MIN);
    let cuts = [
        0,
        7,
        HEAD_BYTES - 1,
        HEAD_BYTES,
        HEAD_BYTES + PIECE_HEAD_BYTES,
    ];
    for len in cuts.into_iter().chain([packed.len() - 1]) {
        let cut = case.unpack(&packed[..len]).unwrap_err();
        assert!(matches!(cut, UnpackError::Length { .. }), "{len}: {cut}");
    }
    let longer = [&packed[..], &[0]].concat();
    let longer = case.unpack(&longer).unwrap_err();
    assert!(matches!(longer, UnpackError::Length { .. }), "{longer}");
    let last = packed.len() - 1;
    for at in (0..HEAD_BYTES + PIECE_HEAD_BYTES + 40).chain([last]) {
        let mut altered = packed.clone();
        altered[at] ^= 0x10;
        let error = case.unpack(&altered).unwrap_err();
        assert!(error.is_damage(), "{at}: {error}");
        let error = case.view(&altered).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}: {error}");
    }
}

#[test]
fn a_length_that_no_journal_file_has_is_refused_before_anything_is_read() {
    let case = Case::new();
    for raw in [0, 4095, (1 << 30) + 1, u64::MAX] {
        let head = zerocopy::IntoBytes::as_bytes(&header::Head::new(raw)).to_vec();
        let error = case.unpack(&head).unwrap_err();
        assert!(matches!(error, UnpackError::RawBytes { found } if found == raw));
    }
}

/// A piece that would grow past its length is stopped there.
#[test]
fn a_piece_gives_no_more_than_it_shall() {
    let case = Case::new();
    let large = case.pack(&vec![0; PIECE_BYTES], Level::MIN);
    let mut forged = zerocopy::IntoBytes::as_bytes(&header::Head::new(4096)).to_vec();
    forged.extend_from_slice(&large[HEAD_BYTES..]);
    let error = case.unpack(&forged).unwrap_err();
    assert!(matches!(error, UnpackError::Frame { .. }), "{error}");
}

/// Any place can be read, in any order, also over the bounds of pieces.
#[test]
fn a_view_is_read_at_any_place() {
    let case = Case::new();
    let len = 2 * PIECE_BYTES + 5000;
    let content = content(len, 11);
    let packed = case.pack(&content, Level::MIN);
    let view = PackedView::open(case.file(&packed)).unwrap();
    assert_eq!(view.len().unwrap(), len as u64);
    let bounds = [
        0,
        1,
        PIECE_BYTES - 7,
        PIECE_BYTES,
        2 * PIECE_BYTES - 1,
        len - 4096,
    ];
    for (from, bytes) in bounds
        .into_iter()
        .rev()
        .flat_map(|from| [(from, 4096), (from, 1)])
    {
        let mut buffer = vec![0; bytes];
        view.read_exact_at(&mut buffer, from as u64).unwrap();
        assert!(buffer == content[from..from + bytes], "{bytes} at {from}");
    }
    for (from, bytes) in [(len, 1), (len - 1, 2), (3 * PIECE_BYTES, 1)] {
        let end = view.read_exact_at(&mut vec![0; bytes], from as u64);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
    view.read_exact_at(&mut [], len as u64).unwrap();
    assert!(view.set_len(1).is_err());
}

/// One piece is damaged: the others are still read.
#[test]
fn a_view_of_a_damaged_file_gives_no_wrong_byte() {
    let case = Case::new();
    let content = content(2 * PIECE_BYTES, 12);
    let mut packed = case.pack(&content, Level::MIN);
    let last = packed.len() - 1;
    packed[last] ^= 1;
    let view = PackedView::open(case.file(&packed)).unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..2 {
        let error = view
            .read_exact_at(&mut piece, PIECE_BYTES as u64)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        view.read_exact_at(&mut piece, 0).unwrap();
        assert!(piece == content[..PIECE_BYTES]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_at_any_level(
        seed: u64,
        len in 4096..300_000usize,
        level in 1..=9u8,
        cut in 0..4096usize,
    ) {
        let case = Case::new();
        let content = content(len + cut, seed);
        let content = &content[cut..];
        let packed = case.pack(content, Level::new(level).unwrap());
        prop_assert!(case.unpack(&packed).unwrap() == content);
    }
}

#[test]
fn the_golden_file_is_unpacked() {
    let packed = include_bytes!("../../tests/golden/packed-v1/text.zst");
    let content = include_bytes!("../../tests/golden/packed-v1/text");
    assert!(Case::new().unpack(packed).unwrap() == content);
}

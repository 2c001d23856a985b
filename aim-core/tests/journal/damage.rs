//! Altered and cut files: an error, or exactly the same content; never a panic.

use aim_core::cursor::Position;
use aim_core::format::{HeaderError, IocbError};
use aim_core::journal::{ParsedFile, ReadError, VerifiedFile};

use crate::sample;

fn sealed_bytes() -> Vec<u8> {
    let dir = sample::folder();
    let file = sample::sealed(&*dir, Position::START, &sample::every_kind());
    sample::read(&*dir, &file.name.sealed())
}

#[test]
fn every_flipped_bit_is_found() {
    let whole = sealed_bytes();
    let mut bytes = whole.clone();
    for at in 0..bytes.len() {
        // every bit where the structures are, one of each byte elsewhere
        let bits = match at {
            0..1024 | 4096..5120 => 0..8,
            _ => at % 8..at % 8 + 1,
        };
        for bit in bits {
            bytes[at] ^= 1 << bit;
            let found = VerifiedFile::open(sample::file(&bytes));
            assert!(found.is_err(), "bit {bit} of byte {at} was missed");
            bytes[at] ^= 1 << bit;
        }
    }
    assert_eq!(bytes, whole);
    VerifiedFile::open(sample::file(&bytes)).unwrap();
}

#[test]
fn every_length_but_the_whole_is_refused() {
    let whole = sealed_bytes();
    for len in 0..whole.len() {
        let found = VerifiedFile::open(sample::file(&whole[..len]));
        let expected = match len {
            0..4096 => matches!(found, Err(ReadError::TooShort { .. })),
            _ => matches!(found, Err(ReadError::Length { .. })),
        };
        assert!(expected, "{len} bytes: {found:?}");
    }
    let longer = [whole, vec![0]].concat();
    let found = VerifiedFile::open(sample::file(&longer));
    assert!(matches!(found, Err(ReadError::Length { .. })));
}

#[test]
fn other_files_and_later_versions_are_told_apart_from_damage() {
    let whole = sealed_bytes();
    let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        match ParsedFile::open(sample::file(&bytes)).unwrap_err() {
            ReadError::Header(error) => error,
            other => panic!("{other}"),
        }
    };
    let zip = refusal(&|bytes| bytes[..4].copy_from_slice(b"PK\x03\x04"));
    assert!(matches!(zip, HeaderError::Magic { .. }));
    let later = refusal(&|bytes| bytes[8] = 2);
    assert_eq!(later, HeaderError::Version { found: 2 });
    let damaged = refusal(&|bytes| bytes[200] ^= 1);
    assert!(matches!(damaged, HeaderError::Checksum { .. }));
}

#[test]
fn a_payload_altered_after_verification_is_found() {
    let dir = sample::folder();
    let bytes = sealed_bytes();
    let file = sample::put(&*dir, "f", &bytes);
    let verified = VerifiedFile::open(file.clone()).unwrap();
    let iocb = verified.records()[0];
    let mut buffer = vec![0; 512];
    verified.read_payload(&iocb, &mut buffer).unwrap();
    let place = iocb.payload.unwrap().place;
    file.write_all_at(&[std::io::IoSlice::new(b"!")], place)
        .unwrap();
    let altered = verified.read_payload(&iocb, &mut buffer);
    assert!(matches!(altered, Err(ReadError::Payload { lsn, .. }) if lsn == iocb.lsn));
    let wrong_size = verified.read_payload(&iocb, &mut [0; 100]);
    assert!(matches!(wrong_size, Err(ReadError::Buffer { .. })));
}

#[test]
fn an_iocb_of_another_file_is_not_believed() {
    let bytes = sealed_bytes();
    let header = ParsedFile::open(sample::file(&bytes)).unwrap();
    let other = aim_core::format::Header {
        number: header.header().number.next(),
        ..header.header().clone()
    };
    let slot = bytes[4096..].first_chunk().unwrap();
    let own = aim_core::format::Iocb::parse(slot, header.header().file_seed());
    assert!(own.is_ok());
    let foreign = aim_core::format::Iocb::parse(slot, other.file_seed());
    assert!(matches!(foreign, Err(IocbError::Checksum { .. })));
}

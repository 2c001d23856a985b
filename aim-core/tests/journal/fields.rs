//! Every field is checked by itself, with check values that are right: the error names it.

use aim_core::cursor::Position;
use aim_core::format::limits::{HEADER_BYTES, IOCB_BYTES};
use aim_core::format::{FieldError, Header, HeaderError, Iocb, IocbError, Sequence};

use crate::sample;

/// The second file of a series: nine records on two devices.
fn sealed() -> Vec<u8> {
    let dir = sample::folder();
    let first = sample::sealed(&*dir, Position::START, &sample::every_kind());
    let second = sample::sealed(&*dir, first.position, &sample::every_kind());
    sample::read(&*dir, &second.name.sealed())
}

fn header(bytes: &[u8]) -> [u8; HEADER_BYTES] {
    *bytes.first_chunk().unwrap()
}

/// Parses the header with `value` at `at`, and its checksum put right.
fn altered(header: &[u8; HEADER_BYTES], at: usize, value: &[u8]) -> Result<Header, HeaderError> {
    let mut header = *header;
    header[at..at + value.len()].copy_from_slice(value);
    if let Err(HeaderError::Checksum { computed, .. }) = Header::parse(&header) {
        header[504..512].copy_from_slice(&computed.to_le_bytes());
    }
    Header::parse(&header)
}

fn field_of(error: FieldError) -> &'static str {
    match error {
        FieldError::Exact { field, .. }
        | FieldError::Low { field, .. }
        | FieldError::High { field, .. }
        | FieldError::Unaligned { field, .. }
        | FieldError::Choice { field, .. }
        | FieldError::NotZero { field }
        | FieldError::Overflow { field } => field,
    }
}

fn wrong_field(header: &[u8; HEADER_BYTES], at: usize, value: &[u8]) -> &'static str {
    match altered(header, at, value) {
        Err(HeaderError::Field(error)) => field_of(error),
        other => panic!("{value:?} at {at}: {other:?}"),
    }
}

#[test]
fn a_wrong_header_field_is_named() {
    let header = header(&sealed());
    let max = u64::MAX.to_le_bytes();
    let number = |value: u64| value.to_le_bytes();
    for (at, value, field) in [
        (12, &4095_u32.to_le_bytes()[..], "header_len"),
        (32, &[0], "state"),
        (32, &[3], "state"),
        (36, &[0], "epoch"),
        (40, &number(0), "file_number"),
        (40, &number(1), "first_lsn"),
        (40, &number(11), "first_lsn"),
        (48, &number(1), "first_lsn"),
        (48, &max, "first_lsn"),
        (48, &number(u64::MAX - 1), "last_lsn"),
        (56, &number(17), "last_lsn"),
        (56, &max, "last_lsn"),
        (80, &[0; 32], "previous_digest"),
        (144, &number(8192), "total_size"),
        (144, &max, "total_size"),
        (152, &number(0), "iocb_offset"),
        (152, &number(4097), "iocb_offset"),
        (152, &max, "iocb_offset"),
        (160, &number(0), "iocb_capacity"),
        (160, &number((1 << 20) + 1), "iocb_capacity"),
        (160, &number(65), "data_offset"),
        (160, &number(8), "iocb_count"),
        (168, &number(0), "iocb_count"),
        (168, &number(65), "iocb_count"),
        (168, &number(8), "last_lsn"),
        (176, &number(4096), "data_offset"),
        (176, &number(8704), "data_offset"),
        (176, &number(1 << 31), "data_offset"),
        (184, &number(511), "data_len"),
        (184, &max, "data_len"),
        (184, &number(512), "total_size"),
        (200, &number(0), "sealed_ns"),
        (208, &[0], "device_count"),
        (208, &[17], "device_count"),
        (208, &[1], "unused device entries"),
        (208, &[3], "device.block_size"),
        (212, &[1], "reserved"),
        (216, &number(1), "incompatible"),
        (216, &number(10), "open_group"),
        (224, &number(10), "open_group_at_end"),
        (232, &[1], "baseline_begun"),
        (240, &[1], "baseline_ended"),
        (248, &[1], "reserved"),
        (503, &[1], "reserved"),
        (512 + 16, &number(0), "device.size"),
        (512 + 16, &number(513), "device.size"),
        (512 + 24, &256_u32.to_le_bytes(), "device.block_size"),
        (512 + 24, &8192_u32.to_le_bytes(), "device.block_size"),
        (512 + 28, &[1], "device.reserved"),
        (1024, &[1], "reserved_tail"),
        (4095, &[1], "reserved_tail"),
    ] {
        assert_eq!(wrong_field(&header, at, value), field, "{value:?} at {at}");
    }
}

#[test]
fn a_wrong_field_of_an_open_or_a_first_file_is_named() {
    let dir = sample::folder();
    let file = sample::opened(&*dir, Position::START, &sample::every_kind());
    let header = header(&sample::read(&*dir, &file.name().open()));
    for (at, field) in [
        (48, "first_lsn"),
        (56, "last_lsn"),
        (80, "previous_digest"),
        (112, "digest"),
        (144, "total_size"),
        (168, "iocb_count"),
        (184, "data_len"),
        (200, "sealed_ns"),
        (224, "open_group_at_end"),
        (216, "open_group"),
    ] {
        assert_eq!(wrong_field(&header, at, &[9]), field);
    }
    // an open file says only what was known when it was created
    assert_eq!(wrong_field(&header, 24, &[1]), "incompatible");
    assert_eq!(wrong_field(&header, 24, &[2]), "incompatible");
}

#[test]
fn features_are_refused_or_ignored_as_their_flags_say() {
    let header = header(&sealed());
    let refused = altered(&header, 24, &[5]);
    assert_eq!(refused, Err(HeaderError::Incompatible { unknown: 4 }));
    assert_eq!(altered(&header, 16, &[4]).unwrap().compatible, 4);
    // such a feature may use what is reserved
    let mut with_more = header;
    with_more[300] = 7;
    assert!(altered(&with_more, 16, &[4]).is_ok());
}

/// What is wrong with the IOCB at `index` when `value` stands at `at` in it.
fn refusal(index: usize, at: usize, value: &[u8]) -> IocbError {
    let bytes = sealed();
    let header = Header::parse(&header(&bytes)).unwrap();
    let seed = header.file_seed();
    let mut sequence = Sequence::start(&header);
    for current in 0.. {
        let mut slot: [u8; IOCB_BYTES] = *bytes[4096 + 64 * current..].first_chunk().unwrap();
        if current < index {
            sequence.step(&Iocb::parse(&slot, seed).unwrap()).unwrap();
            continue;
        }
        slot[at..at + value.len()].copy_from_slice(value);
        if let Err(IocbError::Checksum { computed, .. }) = Iocb::parse(&slot, seed) {
            slot[12..16].copy_from_slice(&computed.to_le_bytes());
        }
        let parsed = Iocb::parse(&slot, seed);
        return parsed.and_then(|iocb| sequence.step(&iocb)).unwrap_err();
    }
    unreachable!("the loop ends at the index")
}

#[test]
fn a_wrong_iocb_field_is_named() {
    const WRITE: usize = 1;
    const FLUSH: usize = 2;
    const ZEROES: usize = 3;
    const DISCARD: usize = 5;
    const VOID: usize = 6;
    let number = |value: u64| value.to_le_bytes();
    let max = number(u64::MAX);
    for (index, at, value, field) in [
        (WRITE, 0, &number(3)[..], "lsn"),
        (WRITE, 16, &number(100), "offset"),
        (WRITE, 16, &number(1 << 20), "offset"),
        (WRITE, 16, &number(u64::MAX - 511), "offset + length"),
        (WRITE, 24, &number(512), "length"),
        (WRITE, 24, &max, "offset + length"),
        (WRITE, 32, &number(8192), "data_place"),
        (WRITE, 32, &max, "data_place"),
        (WRITE, 40, &[0; 4], "stored_size"),
        (WRITE, 40, &[1], "stored_size"),
        (WRITE, 40, &[0xff; 4], "stored_size"),
        (WRITE, 44, &[1], "reserved"),
        (WRITE, 56, &number(0), "time_ns"),
        (FLUSH, 16, &number(512), "offset"),
        (FLUSH, 24, &number(512), "length"),
        (FLUSH, 32, &[1], "data_place"),
        (ZEROES, 24, &number(0), "length"),
        (ZEROES, 24, &number(2 << 20), "length"),
        (ZEROES, 40, &[1], "stored_size"),
        (ZEROES, 48, &[1], "payload_checksum"),
        (DISCARD, 16, &number(4096), "offset"),
        (DISCARD, 24, &number(512), "length"),
        (VOID, 24, &number(100), "length"),
        (VOID, 32, &[1], "data_place"),
    ] {
        match refusal(index, at, value) {
            IocbError::Field(error) => {
                assert_eq!(field_of(error), field, "{value:?} at {at} of {index}");
            }
            other => panic!("{value:?} at {at} of {index}: {other:?}"),
        }
    }
}

#[test]
fn operations_and_flags_are_known_reserved_or_wrong() {
    for operation in [6, 8, 9] {
        assert_eq!(
            refusal(2, 10, &[operation]),
            IocbError::Unsupported(operation)
        );
    }
    for operation in [0, 14, 255] {
        assert_eq!(
            refusal(2, 10, &[operation]),
            IocbError::Operation(operation)
        );
    }
    for (index, flags) in [(0, 2), (0, 4), (2, 1), (3, 4), (5, 2), (5, 4), (6, 1)] {
        let refused = refusal(index, 11, &[flags]);
        assert!(matches!(refused, IocbError::Flags { flags: found, .. } if found == flags));
    }
    let device = refusal(0, 8, &[2]);
    assert_eq!(
        device,
        IocbError::Device {
            device: 2,
            count: 2
        }
    );
}

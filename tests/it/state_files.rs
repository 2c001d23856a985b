//! Golden state files: what version 1 looks like, byte for byte (`docs/format.md`).

use std::fmt::Debug;

use aim_core::cursor::{
    MirrorCursor, Position, RelayCursor, SealedCursor, Standing, StoreCursor, StoreReader,
    TargetRecord, TargetsCursor,
};
use aim_core::identity::{
    DeviceIdentity, Fingerprint, FollowerIdentity, MirrorIdentity, VolumeIdentity,
};
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, MirrorId, Timestamp, VolumeId};

const VOLUME: VolumeId = VolumeId([0xa1; 16]);

fn position(file: u64) -> Position {
    Position {
        epoch: Epoch(2),
        file: FileNumber(file),
        lsn: Lsn(file * 0x1000),
        digest: [file as u8; 32],
        open_group: Lsn(0),
    }
}

/// A position in a group, which the source and the received files can be in.
fn position_in_group(file: u64) -> Position {
    Position {
        open_group: Lsn(file * 0x1000 - 0xff),
        ..position(file)
    }
}

/// To make the file anew after a deliberate change of the format, write `value.encode()` there.
fn assert_golden<S: StateFile + Debug + PartialEq>(golden: &[u8], value: &S) {
    assert_eq!(&S::decode(golden).unwrap(), value);
    assert!(
        value.encode() == golden,
        "{} is written differently",
        S::NAME
    );
}

#[test]
fn volume_id() {
    let device = |id, size, block_size| DeviceIdentity {
        id: DeviceId([id; 16]),
        size: ByteLen(size),
        block_size,
    };
    let value = VolumeIdentity {
        id: VOLUME,
        epoch: Epoch(2),
        devices: vec![device(0xd1, 1 << 40, 512), device(0xd2, 1 << 30, 4096)],
    };
    assert_golden(include_bytes!("../golden/state/volume.id"), &value);
}

#[test]
fn follower_id() {
    let value = FollowerIdentity { volume: VOLUME };
    assert_golden(include_bytes!("../golden/state/follower.id"), &value);
}

#[test]
fn relay_cursor() {
    let value = RelayCursor {
        volume: VOLUME,
        unbroken: FileNumber(7),
        wanted: Lsn(0x7001),
        rests: true,
    };
    assert_golden(include_bytes!("../golden/state/relay.cursor"), &value);
}

#[test]
fn store_cursor() {
    let value = StoreCursor {
        volume: VOLUME,
        received: position_in_group(9),
        base: FileNumber(3),
        next: FileNumber(8),
        next_lsn: Lsn(0x7f01),
        base_time: Timestamp(1_700_000_000_000_000_001),
        next_time: Timestamp(1_700_000_000_000_000_002),
    };
    assert_golden(include_bytes!("../golden/state/store.cursor"), &value);
}

#[test]
fn store_reader() {
    let value = StoreReader {
        volume: VOLUME,
        mirror: MirrorId([0xb1; 16]),
        seen: Timestamp(1_700_000_000_000_000_003),
        received: position_in_group(9),
        applied: position(7),
    };
    assert_golden(include_bytes!("../golden/state/reader"), &value);
}

#[test]
fn mirror_id() {
    let value = MirrorIdentity {
        id: MirrorId([0xb1; 16]),
        volume: VOLUME,
        devices: vec![Fingerprint([0xf1; 32]), Fingerprint::UNKNOWN],
    };
    assert_golden(include_bytes!("../golden/state/mirror.id"), &value);
}

#[test]
fn sealed_cursor() {
    let value = SealedCursor {
        volume: VOLUME,
        sealed: position_in_group(9),
    };
    assert_golden(include_bytes!("../golden/state/sealed.cursor"), &value);
}

#[test]
fn mirror_cursor() {
    let value = MirrorCursor {
        volume: VOLUME,
        received: position_in_group(9),
        intent: position(8),
        applied: position(7),
        applied_time: Timestamp(1_700_000_000_123_456_789),
        base: FileNumber(0),
    };
    assert_golden(include_bytes!("../golden/state/mirror.cursor"), &value);
}

#[test]
fn targets_cursor() {
    let value = TargetsCursor {
        volume: VOLUME,
        compared: Lsn(0x801),
        targets: vec![
            TargetRecord {
                mirror: MirrorId([0xb1; 16]),
                received: position_in_group(9),
                ..TargetRecord::new("near", Standing::Follows)
            },
            TargetRecord {
                received: position(3),
                from: FileNumber(8),
                from_lsn: Lsn(0x7001),
                ..TargetRecord::new("far", Standing::Joins)
            },
            TargetRecord::new("new_one", Standing::New),
            TargetRecord::new("left-one", Standing::Left),
        ],
    };
    assert_golden(include_bytes!("../golden/state/targets.cursor"), &value);
}

/// A mirror that takes up the series behind missing files.
#[test]
fn mirror_cursor_at_a_baseline() {
    let value = MirrorCursor {
        received: position(9),
        base: FileNumber(8),
        ..MirrorCursor::new(VOLUME)
    };
    let golden = include_bytes!("../golden/state/mirror.cursor.base");
    assert_golden(golden, &value);
}

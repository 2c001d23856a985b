//! The folders of a volume when the power goes.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, SourceSpool, SpoolError};
use aim_core::units::{ByteLen, Epoch, FileNumber, Lsn};
use aim_tests::{MemFileSystem, Power, Series};

fn identity() -> VolumeIdentity {
    VolumeIdentity::generate(ByteLen(1 << 20), 512)
}

/// Does something with a cut at each of its steps; gives what is left to `check`, with whether
/// it was finished.
fn cut_everywhere(
    prepare: impl Fn(&Arc<dyn Directory>),
    act: impl Fn(&Arc<dyn Directory>) -> Result<(), SpoolError>,
    check: impl Fn(&Arc<dyn Directory>, bool),
) {
    for seed in 0..16 {
        for step in 1.. {
            let power = Power::steady();
            let file_system = MemFileSystem::new(power.clone());
            let root = file_system.folder("/mirror");
            prepare(&root);
            power.cut_at(power.steps() + step);
            let finished = act(&root).is_ok();
            file_system.crash(seed);
            power.restore();
            check(&root, finished);
            if finished {
                assert!(step > 3, "only {step} steps");
                break;
            }
        }
    }
}

#[test]
fn a_rejected_file_is_never_lost_and_never_without_its_reason() {
    let mut series = Series::new(identity(), 1);
    let file = series.next_file(5);
    let name = file.name.sealed();
    let content = series.folder().read_small(&name, 1 << 20).unwrap();
    cut_everywhere(
        |root| {
            let spool = MirrorSpool::create(root.clone(), series.identity()).unwrap();
            spool
                .incoming_folder()
                .write_atomic(&name, &content)
                .unwrap();
        },
        |root| {
            let spool = MirrorSpool::open(root.clone())?;
            spool.reject(&name, "it is damaged").map(drop)
        },
        |root, finished| {
            let spool = MirrorSpool::open(root.clone()).unwrap();
            let waiting = spool.incoming().unwrap().files.len();
            let rejected = spool.rejected().unwrap().files.len();
            assert_eq!(waiting + rejected, 1, "finished: {finished}");
            assert!(rejected == 1 || !finished);
            if rejected == 0 {
                // it can be set aside anew, whatever was left of the first attempt
                spool.reject(&name, "it is damaged").unwrap();
            }
            let kept = spool.rejected_folder();
            let names = kept.list().unwrap();
            let file = names
                .iter()
                .find(|kept| !kept.ends_with(".reason"))
                .unwrap();
            assert!(kept.read_small(file, 1 << 20).unwrap() == content);
            let reason = kept.read_small(&format!("{file}.reason"), 99).unwrap();
            assert_eq!(reason, b"it is damaged\n");
        },
    );
}

#[test]
fn a_folder_is_initialized_whole_or_not_at_all() {
    let identity = identity();
    cut_everywhere(
        |_| {},
        |root| SourceSpool::create(root.clone(), &identity).map(drop),
        |root, finished| match SourceSpool::open(root.clone()) {
            Ok(spool) => assert_eq!(spool.identity(), &identity),
            Err(SpoolError::NotInitialized { .. }) => {
                assert!(!finished);
                SourceSpool::create(root.clone(), &identity).unwrap();
            }
            Err(error) => panic!("{error}"),
        },
    );
}

#[test]
fn the_sealed_cursor_is_the_old_or_the_new_one() {
    let identity = identity();
    let position = |file| Position {
        epoch: Epoch(1),
        file: FileNumber(file),
        lsn: Lsn(file),
        digest: [file as u8; 32],
        open_group: Lsn(0),
    };
    cut_everywhere(
        |root| {
            let spool = SourceSpool::create(root.clone(), &identity).unwrap();
            spool.set_sealed(position(1)).unwrap();
        },
        |root| SourceSpool::open(root.clone())?.set_sealed(position(2)),
        |root, finished| {
            let sealed = SourceSpool::open(root.clone()).unwrap().sealed().unwrap();
            assert!(sealed == position(2) || !finished && sealed == position(1));
        },
    );
}

#[test]
fn a_damaged_cursor_is_an_error_and_no_new_start() {
    let root = MemFileSystem::new(Power::steady()).folder("/mirror");
    let spool = MirrorSpool::create(root.clone(), &identity()).unwrap();
    let cursor = spool.cursor().unwrap();
    let applied = |cursor: &mut aim_core::cursor::MirrorCursor| {
        cursor.applied_time = aim_core::units::Timestamp(9);
    };
    cursor.update(applied).unwrap();
    let mut bytes = root.read_small("mirror.cursor", 4096).unwrap();
    bytes[40] ^= 1;
    root.write_atomic("mirror.cursor", &bytes).unwrap();
    let error = spool.cursor().unwrap_err();
    assert!(
        error.to_string().contains("mirror.cursor is damaged"),
        "{error}"
    );
}

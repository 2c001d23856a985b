use std::io::IoSlice;

use std::sync::Arc;

use super::*;
use crate::cursor::Position;
use crate::fs::Directory;
use crate::fs::HostDirectory;
use crate::identity::{FollowerIdentity, MirrorIdentity, VolumeIdentity};
use crate::journal::FileName;
use crate::state_file::StateFile;
use crate::units::{ByteLen, Epoch, FileNumber, Lsn, MirrorId};

fn identity() -> VolumeIdentity {
    VolumeIdentity::generate(ByteLen(1 << 20), 512)
}

fn root(temp: &tempfile::TempDir) -> Arc<dyn Directory> {
    HostDirectory::open(temp.path()).unwrap()
}

fn name(identity: &VolumeIdentity, epoch: u32, number: u64) -> FileName {
    FileName {
        volume: identity.id,
        epoch: Epoch(epoch),
        number: FileNumber(number),
    }
}

fn put(folder: &dyn Directory, name: &str, bytes: usize) {
    let file = folder.create(name).unwrap();
    file.write_all_at(&[IoSlice::new(&vec![1; bytes])], 0)
        .unwrap();
}

fn position(file: u64) -> Position {
    Position {
        epoch: Epoch(1),
        file: FileNumber(file),
        lsn: Lsn(file * 10),
        digest: [3; 32],
        open_group: Lsn(0),
    }
}

#[test]
fn a_folder_belongs_to_one_volume() {
    let temp = tempfile::tempdir().unwrap();
    let opened = SourceSpool::open(root(&temp));
    assert!(matches!(opened, Err(SpoolError::NotInitialized { .. })));
    let identity = identity();
    SourceSpool::create(root(&temp), &identity).unwrap();
    let spool = SourceSpool::open(root(&temp)).unwrap();
    assert_eq!(spool.identity(), &identity);
    assert_eq!(spool.sealed().unwrap(), Position::START);
    spool.set_sealed(position(4)).unwrap();
    assert_eq!(spool.sealed().unwrap(), position(4));
    let again = MirrorSpool::create(root(&temp), &identity);
    assert!(matches!(again, Err(SpoolError::AlreadyInitialized { .. })));
}

#[test]
fn files_are_listed_in_series_order_and_leftovers_are_not() {
    let temp = tempfile::tempdir().unwrap();
    let identity = identity();
    let spool = SourceSpool::create(root(&temp), &identity).unwrap();
    for (number, bytes) in [(300, 30), (2, 20), (0x10, 10)] {
        put(
            &**spool.outgoing_folder(),
            &name(&identity, 1, number).sealed(),
            bytes,
        );
    }
    put(
        &**spool.outgoing_folder(),
        &name(&identity, 1, 400).partial(),
        9,
    );
    put(&**spool.outgoing_folder(), "x.tmp", 9);
    for number in [0x20, 3] {
        let name = name(&identity, 1, number).packed();
        put(&**spool.outgoing_folder(), &name, 5);
    }
    put(&**spool.outgoing_folder(), "README", 9);
    let listing = spool.outgoing().unwrap();
    let numbers: Vec<u64> = listing.files.iter().map(|f| f.name.number.get()).collect();
    assert_eq!(numbers, [2, 0x10, 300]);
    assert_eq!(listing.bytes(), 60);
    assert_eq!(listing.oldest().unwrap().bytes, 20);
    let packed: Vec<u64> = (listing.packed.iter())
        .map(|file| file.name.number.get())
        .collect();
    assert_eq!(packed, [3, 0x20]);
    assert_eq!(listing.strangers, ["README"]);
    assert_eq!(spool.remove_received(position(0x10)).unwrap(), 3);
    let left = spool.outgoing().unwrap();
    assert_eq!((left.files.len(), left.packed.len()), (1, 1));
}

#[test]
fn only_files_of_the_volume_and_epoch_are_removed() {
    let temp = tempfile::tempdir().unwrap();
    let (own, foreign) = (identity(), identity());
    let spool = MirrorSpool::create(root(&temp), &own).unwrap();
    for name in [name(&own, 1, 5), name(&own, 2, 1), name(&foreign, 1, 1)] {
        put(&**spool.incoming_folder(), &name.sealed(), 1);
    }
    assert_eq!(spool.remove_applied(Position::START).unwrap(), 0);
    assert_eq!(spool.remove_applied(position(9)).unwrap(), 1);
    assert_eq!(spool.incoming().unwrap().files.len(), 2);
}

#[test]
fn what_is_set_aside_is_kept_with_its_reason() {
    let temp = tempfile::tempdir().unwrap();
    let identity = identity();
    let spool = MirrorSpool::create(root(&temp), &identity).unwrap();
    let name = name(&identity, 1, 1).sealed();
    for (round, bytes) in [1, 2, 3].into_iter().enumerate() {
        put(&**spool.incoming_folder(), &name, bytes);
        let kept = spool
            .reject(&name, &format!("reason {}", round + 1))
            .unwrap();
        let rejected = spool.rejected_folder();
        assert_eq!(rejected.read_small(&kept, 9).unwrap().len(), bytes);
        let reason = rejected.read_small(&format!("{kept}.reason"), 99).unwrap();
        assert_eq!(reason, format!("reason {}\n", round + 1).as_bytes());
    }
    assert!(spool.incoming().unwrap().files.is_empty());
    assert_eq!(spool.rejected_folder().list().unwrap().len(), 6);
}

#[test]
fn pairing_happens_once() {
    let temp = tempfile::tempdir().unwrap();
    let identity = identity();
    let spool = MirrorSpool::create(root(&temp), &identity).unwrap();
    assert_eq!(spool.pairing().unwrap(), None);
    let pairing = MirrorIdentity {
        id: MirrorId::generate(),
        volume: identity.id,
        devices: vec![Default::default()],
    };
    spool.pair(&pairing).unwrap();
    assert_eq!(spool.pairing().unwrap(), Some(pairing.clone()));
    let again = spool.pair(&pairing);
    assert!(matches!(again, Err(SpoolError::AlreadyInitialized { .. })));
    assert!(spool.cursor().unwrap().get().is_settled());
}

/// Another disk holds nothing of what the one before did.
#[test]
fn who_is_paired_anew_begins_at_the_start() {
    let temp = tempfile::tempdir().unwrap();
    let identity = identity();
    let spool = MirrorSpool::create(root(&temp), &identity).unwrap();
    let pairing = MirrorIdentity {
        id: MirrorId::generate(),
        volume: identity.id,
        devices: vec![Default::default()],
    };
    spool.pair(&pairing).unwrap();
    let cursor = spool.cursor().unwrap();
    let moved = cursor.update(|cursor| cursor.received = position(3));
    moved.unwrap();
    spool.root().remove(MirrorIdentity::NAME).unwrap();
    spool.pair(&pairing).unwrap();
    assert!(spool.cursor().unwrap().get().received.is_start());
}

#[test]
fn a_follower_is_one_before_it_has_a_volume() {
    let temp = tempfile::tempdir().unwrap();
    let identity = identity();
    let spool = MirrorSpool::create_follower(root(&temp), &identity).unwrap();
    assert!(spool.is_follower().unwrap());
    let again = MirrorSpool::create_follower(root(&temp), &identity);
    assert!(matches!(again, Err(SpoolError::AlreadyInitialized { .. })));
    let other = tempfile::tempdir().unwrap();
    let spool = MirrorSpool::create(root(&other), &identity).unwrap();
    assert!(!spool.is_follower().unwrap());
    let volume = VolumeIdentity::generate(ByteLen(4096), 512).id;
    FollowerIdentity { volume }.store(&**spool.root()).unwrap();
    assert!(spool.is_follower().is_err(), "of another volume");
}

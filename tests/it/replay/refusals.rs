//! What replay does not apply. Each refusal has its own error, and leaves devices and cursor
//! untouched.

use std::sync::Arc;

use aim_core::cursor::Position;
use aim_core::device::{BlockDevice, MemDevice};
use aim_core::identity::VolumeIdentity;
use aim_core::journal::{LinkError, VerifiedFile};
use aim_core::replay::{Outcome, ReplayError};
use aim_core::units::{ByteLen, DeviceId, Epoch, FileNumber, Lsn, VolumeId};
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};

/// A mirror to which one file has been applied, and the series that it follows.
struct Scene {
    series: Series,
    mirror: Mirror,
    first: SeriesFile,
}

impl Scene {
    fn new() -> Self {
        Self::of(two_disks())
    }

    fn of(volume: VolumeIdentity) -> Self {
        let mut series = Series::new(volume, 11);
        let mirror = Mirror::new(series.identity(), 11);
        let first = series.next_file(10);
        let mut replay = mirror.start().unwrap();
        replay.apply(&series.verified(&first)).map(drop).unwrap();
        Self {
            series,
            mirror,
            first,
        }
    }

    /// Applies a file and sees that it is refused and that nothing has changed.
    fn refused(&self, file: &VerifiedFile) -> ReplayError {
        let steps = self.mirror.power.steps();
        let error = self.mirror.start().unwrap().apply(file).unwrap_err();
        assert_eq!(
            self.mirror.power.steps(),
            steps,
            "{error}: something was written"
        );
        assert!(self.mirror.cursor().is_settled());
        assert!(self.mirror.content() == self.first.devices);
        error
    }

    /// The second file, of a series that was made not to fit.
    fn altered(mut self, alter: impl FnOnce(&mut VolumeIdentity, &mut Position)) -> ReplayError {
        let (mut identity, mut position) = (self.series.identity().clone(), self.series.position());
        alter(&mut identity, &mut position);
        self.series.set_identity(identity);
        self.series.set_position(position);
        let file = self.series.next_file(10);
        let error = self.refused(&self.series.verified(&file));
        assert!(error.is_refusal(), "{error}");
        error
    }
}

/// What does not fit about a file that does not belong here.
fn link(error: &ReplayError) -> &LinkError {
    match error {
        ReplayError::Link { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn a_gap_between_files() {
    let mut scene = Scene::new();
    let second = scene.series.next_file(10);
    let third = scene.series.next_file(10);
    let error = scene.refused(&scene.series.verified(&third));
    let gap = LinkError::Gap {
        expected: FileNumber(2),
        found: FileNumber(3),
    };
    assert_eq!(link(&error), &gap);
    assert!(!error.is_refusal(), "it only came too early");
    let mut replay = scene.mirror.start().unwrap();
    for file in [second, third] {
        replay
            .apply(&scene.series.verified(&file))
            .map(drop)
            .unwrap();
    }
}

#[test]
fn a_gap_between_transactions() {
    let error = Scene::new().altered(|_, position| position.lsn = Lsn(11));
    let gap = LinkError::Lsn {
        expected: Lsn(11),
        found: Lsn(12),
    };
    assert_eq!(link(&error), &gap);
}

#[test]
fn a_file_that_follows_another() {
    let error = Scene::new().altered(|_, position| position.digest[7] ^= 1);
    assert!(
        matches!(link(&error), LinkError::Previous { .. }),
        "{error}"
    );
}

#[test]
fn another_file_of_the_number_that_was_applied() {
    let error = Scene::new().altered(|_, position| *position = Position::START);
    assert!(matches!(error, ReplayError::OtherHistory { .. }), "{error}");
}

#[test]
fn a_foreign_volume() {
    let foreign = VolumeId::generate();
    let error = Scene::new().altered(|identity, _| identity.id = foreign);
    assert!(
        matches!(link(&error), LinkError::Volume { found, .. } if *found == foreign),
        "{error}"
    );
}

#[test]
fn other_epochs() {
    let mut scene = Scene::new();
    let mut raised = scene.series.identity().clone();
    raised.epoch = Epoch(3);
    scene.series.set_identity(raised.clone());
    let file = scene.series.next_file(10);
    let error = scene.refused(&scene.series.verified(&file));
    assert!(
        matches!(
            error,
            ReplayError::FutureEpoch {
                expected: Epoch(1),
                found: Epoch(3),
                ..
            }
        ),
        "{error}"
    );

    let mut series = Series::new(raised.clone(), 1);
    let mirror = Mirror::new(&raised, 1);
    raised.epoch = Epoch(2);
    series.set_identity(raised);
    let file = series.next_file(1);
    let error = mirror.start().unwrap().apply(&series.verified(&file));
    assert!(
        matches!(
            error,
            Err(ReplayError::OldEpoch {
                expected: Epoch(3),
                found: Epoch(2),
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn files_for_other_devices() {
    let volume = two_disks();
    let (first, second) = (&volume.devices[0], &volume.devices[1]);
    let other = DeviceId::generate();
    type Alter = fn(&mut VolumeIdentity, DeviceId);
    let cases: [(Alter, LinkError); 4] = [
        (
            |volume, other| volume.devices[1].id = other,
            LinkError::Device {
                index: 1,
                expected: second.id,
                found: other,
            },
        ),
        (
            |volume, _| volume.devices[0].size = ByteLen(8192),
            LinkError::DeviceSize {
                index: 0,
                expected: first.size,
                found: ByteLen(8192),
            },
        ),
        (
            |volume, _| volume.devices[0].block_size = 1024,
            LinkError::BlockSize {
                index: 0,
                expected: 512,
                found: 1024,
            },
        ),
        (
            |volume, _| volume.devices.truncate(1),
            LinkError::DeviceCount {
                expected: 2,
                found: 1,
            },
        ),
    ];
    for (alter, expected) in cases {
        let scene = Scene::of(volume.clone());
        let error = scene.altered(|identity, _| alter(identity, other));
        assert_eq!(link(&error), &expected);
    }
}

#[test]
fn devices_that_do_not_fit_the_volume() {
    let mirror = Mirror::new(&two_disks(), 1);
    let disk = |size, block_size| -> Arc<dyn BlockDevice> {
        Arc::new(MemDevice::new(ByteLen(size), block_size))
    };
    let (first, second) = (disk(32 * 512, 512), disk(16 * 4096, 4096));
    let start = |devices| mirror.start_with(devices, mirror.folder());
    assert!(
        start(vec![first.clone(), disk(16 * 4096, 512)]).is_ok(),
        "smaller blocks fit"
    );
    assert!(matches!(
        start(vec![first.clone()]),
        Err(ReplayError::DeviceCount {
            expected: 2,
            found: 1
        })
    ));
    for other in [disk(8 * 4096, 4096), disk(32 * 4096, 4096)] {
        assert!(matches!(
            start(vec![first.clone(), other]),
            Err(ReplayError::DeviceSize { device: 1, .. })
        ));
    }
    assert!(matches!(
        start(vec![disk(32 * 512, 1024), second]),
        Err(ReplayError::DeviceBlockSize {
            device: 0,
            expected: 512,
            found: 1024
        })
    ));
}

#[test]
fn a_file_altered_after_it_was_verified() {
    let mut scene = Scene::new();
    let file = scene.series.next_file(30);
    let verified = scene.series.verified(&file);
    let written = verified
        .records()
        .iter()
        .rev()
        .find_map(|iocb| iocb.payload);
    let place = written.unwrap().place;
    let opened = scene
        .series
        .folder()
        .open(&file.name.sealed(), true)
        .unwrap();
    let mut byte = [0];
    opened.read_exact_at(&mut byte, place).unwrap();
    let flip = |byte: u8| opened.write_all_at(&[std::io::IoSlice::new(&[byte])], place);
    flip(!byte[0]).unwrap();
    let error = scene.mirror.start().unwrap().apply(&verified).unwrap_err();
    assert!(
        matches!(
            error,
            ReplayError::Read {
                file: FileNumber(2),
                ..
            }
        ),
        "{error}"
    );
    assert!(
        !scene.mirror.cursor().is_settled(),
        "part of it may be on the device"
    );
    assert_eq!(scene.mirror.cursor().applied, scene.first.position);
    // the right bytes come again from the source
    flip(byte[0]).unwrap();
    let applied = scene.mirror.start().unwrap().apply(&verified).unwrap();
    assert!(matches!(applied, Outcome::Applied(_)));
    assert!(scene.mirror.content() == file.devices);
}

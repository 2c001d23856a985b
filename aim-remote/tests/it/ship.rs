//! What the shipper believes, and what it refuses.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aim_core::cursor::{MirrorCursor, Position};
use aim_core::device::BlockDevice;
use aim_core::format::Kind;
use aim_core::fs::{Directory, HostDirectory};
use aim_core::replay::Differences;
use aim_core::state_file::StateFile;
use aim_core::units::{ByteLen, ByteOffset, Epoch, VolumeId};
use aim_remote::file_io::Source;
use aim_remote::ship::{ShipError, Shipper};
use aim_remote::transport::{
    Entry, LocalTransport, Name, Progress, Put, Transport, TransportError,
};

use crate::site::{Site, eventually};

/// Stores a mirror cursor as if the mirror host had.
fn receive(site: &Site, received: Position) {
    let volume = site.series.identity().id;
    let cursor = MirrorCursor {
        received,
        ..MirrorCursor::new(volume)
    };
    cursor.store(&*far(site)).unwrap();
}

/// The mirror's directory.
fn far(site: &Site) -> Arc<dyn Directory> {
    HostDirectory::open(site.directory.path()).unwrap()
}

/// Waits for a trouble that `is_it`, and checks that nothing was removed.
fn refuses(site: &Site, shipper: &Shipper, is_it: impl Fn(&ShipError) -> bool) {
    let waiting = site.source().outgoing().unwrap().files.len();
    eventually("the trouble is said", || {
        let trouble = shipper.status().trouble;
        trouble.is_some_and(|trouble| is_it(&trouble.error) && trouble.attempts > 1)
    });
    assert_eq!(site.source().outgoing().unwrap().files.len(), waiting);
}

#[test]
fn only_what_is_received_is_removed() {
    let mut site = Site::new(10);
    site.seal(4);
    let shipper = site.ship();
    eventually("all is shipped", || {
        shipper.status().shipped == site.sealed()
    });
    assert_eq!(site.source().outgoing().unwrap().files.len(), 4);
    receive(&site, site.files[1].position);
    eventually("two are removed", || shipper.status().waiting_files == 2);
    let left = site.source().outgoing().unwrap().files;
    assert_eq!(left[0].name, site.files[2].name);
    // by what follows, now that the file itself is gone
    shipper.stop();
    let shipper = site.ship();
    receive(&site, site.files[3].position);
    eventually("all are removed", || shipper.status().waiting_files == 0);
    assert!(shipper.status().trouble.is_none());
}

#[test]
fn a_mirror_with_another_history_removes_nothing() {
    let mut site = Site::new(11);
    site.seal(3);
    for index in [0, 2] {
        let mut received = site.files[index].position;
        received.digest[0] ^= 1;
        receive(&site, received);
        let shipper = site.ship();
        refuses(&site, &shipper, |error| {
            matches!(error, ShipError::OtherHistory { .. })
        });
    }
    // also where only the following file can tell
    fs::remove_file(site.outgoing(&site.files[0])).unwrap();
    let mut received = site.files[0].position;
    received.digest[31] ^= 1;
    receive(&site, received);
    let shipper = site.ship();
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::OtherHistory { .. })
    });
}

#[test]
fn a_mirror_that_is_ahead_or_foreign_removes_nothing() {
    let mut site = Site::new(12);
    site.seal(2);
    let ahead = Position {
        file: site.sealed().file.next(),
        ..site.sealed()
    };
    receive(&site, ahead);
    let shipper = site.ship();
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::Ahead { .. })
    });
    let other_epoch = Position {
        epoch: Epoch(7),
        ..site.sealed()
    };
    receive(&site, other_epoch);
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::OtherEpoch { .. })
    });
    let foreign = MirrorCursor {
        received: site.sealed(),
        ..MirrorCursor::new(VolumeId::generate())
    };
    foreign.store(&*far(&site)).unwrap();
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::ForeignMirror { .. })
    });
    let damaged = site.directory.path().join(MirrorCursor::NAME);
    fs::write(damaged, b"nonsense").unwrap();
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::FarState(_))
    });
}

#[test]
fn a_file_that_is_needed_and_gone_is_said() {
    let mut site = Site::new(13);
    site.seal(3);
    fs::remove_file(site.outgoing(&site.files[0])).unwrap();
    let shipper = site.ship();
    refuses(
        &site,
        &shipper,
        |error| matches!(error, ShipError::Gap { needed } if needed.get() == 1),
    );
    for file in &site.files[1..] {
        fs::remove_file(site.outgoing(file)).unwrap();
    }
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::Gap { .. })
    });
}

#[test]
fn a_file_that_was_set_aside_is_sent_again() {
    let mut site = Site::new(14);
    site.seal(2);
    let name = site.files[0].name.sealed();
    let shipper = site.ship();
    eventually("all is shipped", || {
        shipper.status().shipped == site.sealed()
    });
    // as the mirror host does it
    site.mirror().reject(&name, "a bit has flipped").unwrap();
    eventually("it is there again", || site.incoming(&name).exists());
    let set_aside = shipper.status().last_set_aside.unwrap();
    assert_eq!(set_aside.name, name);
    assert_eq!(set_aside.reason.unwrap(), "a bit has flipped");
    // a file that is damaged here is not sent again and again
    let path = site.outgoing(&site.files[0]);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    site.mirror().reject(&name, "a bit has flipped").unwrap();
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::Damaged { .. })
    });
}

#[test]
fn the_directory_of_another_mirror_gets_no_file() {
    let mut site = Site::new(15);
    site.seal(2);
    let other = Site::new(16);
    let shipper = site.ship_over(LocalTransport::new(other.directory.path()));
    refuses(&site, &shipper, |error| {
        matches!(error, ShipError::ForeignMirror { .. })
    });
    assert!(other.mirror().incoming().unwrap().files.is_empty());
}

/// What the source knows of differences is of what it knows to be applied, or of later.
#[test]
fn where_the_mirror_differs_is_told_with_what_it_has_applied() {
    let mut site = Site::new(17);
    let (shipper, applier) = (site.ship(), site.apply());
    site.seal(1);
    site.wait_until_equal(&shipper, &applier);
    let known = shipper.status().differences.unwrap();
    assert!(known.is_empty());
    site.device.write(ByteOffset(1024), &[0xee; 512]).unwrap();
    let verify = Kind::Verify { digest: 0 };
    for (transactions, different) in [
        (&[(verify, 0, 4096)][..], 4096),
        (&[(Kind::Write, 0, 1024)], 3072),
        (&[(Kind::Write, 1024, 3072)], 0),
    ] {
        let file = site.series.next_file_of(transactions);
        site.add(file);
        let sealed = site.sealed();
        eventually("the source hears of it", || {
            shipper.status().applied == sealed
        });
        let known = shipper.status().differences.unwrap();
        assert_eq!(known.bytes(), ByteLen(different));
    }
}

/// A far directory whose mirror applies something just after a file about it was read.
#[derive(Debug)]
struct Moving {
    far: LocalTransport,
    directory: PathBuf,
    /// What the mirror then stores, in this order.
    stores: Mutex<Vec<(&'static str, Vec<u8>)>>,
}

impl Transport for Moving {
    fn place(&self) -> String {
        self.far.place()
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        self.far.list(folder).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        self.far.put(name, source, progress).await
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        let read = self.far.get(name, limit).await;
        if [MirrorCursor::NAME, Differences::NAME].contains(&name.file()) {
            for (file, bytes) in self.stores.lock().unwrap().drain(..) {
                fs::write(self.directory.join(file), bytes).unwrap();
            }
        }
        read
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        self.far.remove(name).await
    }
}

/// Otherwise a verification would be taken to have found nothing.
#[test]
fn differences_are_never_older_than_what_is_known_to_be_applied() {
    let mut site = Site::new(18);
    let verify = Kind::Verify { digest: 0 };
    let file = site.series.next_file_of(&[(Kind::Write, 0, 4096)]);
    site.add(file);
    let applier = site.apply();
    site.deliver(&site.files[0]);
    site.wait_until_applied(&applier);
    site.device.write(ByteOffset(1024), &[0xee; 512]).unwrap();
    let file = site.series.next_file_of(&[(verify, 0, 4096)]);
    site.add(file);
    site.deliver(&site.files[1]);
    let sealed = site.sealed();
    eventually("all is applied", || applier.status().applied == sealed);
    applier.stop();
    // as before the mirror had anything
    let stores = [Differences::NAME, MirrorCursor::NAME].map(|name| {
        let path = site.directory.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        (name, bytes)
    });
    let shipper = site.ship_over(Moving {
        far: LocalTransport::new(site.directory.path()),
        directory: site.directory.path().to_owned(),
        stores: Mutex::new(stores.into()),
    });
    eventually("the source hears of it", || {
        shipper.status().applied == sealed
    });
    let known = shipper.status().differences.unwrap();
    assert_eq!(known.bytes(), ByteLen(4096));
}

#[test]
fn differences_of_another_volume_are_not_believed() {
    let mut site = Site::new(19);
    site.seal(1);
    let foreign = Differences::new(VolumeId::generate());
    foreign.store(&*far(&site)).unwrap();
    let shipper = site.ship();
    eventually("all is shipped", || {
        shipper.status().shipped == site.sealed()
    });
    assert_eq!(shipper.status().differences, None);
}

//! A target on a disk that travels: no line between the hosts, only somebody who carries it.

use std::fs;

use aim_core::capture::Initial;
use aim_core::cursor::Standing;
use aim_remote::file_io::{FileIo, run_blocking};
use aim_remote::ship::{Next, Rounds, ShipError};
use aim_remote::transport::LocalTransport;

use super::coordinators::{assert_same, wait_until, write_at_random};
use super::site::{NO_LIMIT, Site, blank};

/// Where the disk is mounted on the source, and where on the mirror host.
const HERE: &str = "usb";
const THERE: &str = "mirror";

fn round(rounds: &mut Rounds<LocalTransport>) -> Result<Next, ShipError> {
    let io = FileIo::in_place();
    run_blocking(|_| async move { rounds.round(&io, std::time::Duration::MAX).await }).unwrap()
}

/// What the mirror host does while the disk is there.
fn apply_all(site: &Site, through: &Rounds<LocalTransport>) {
    let applier = site.apply(THERE);
    let shipped = through.status().shipped;
    wait_until("all of it to be applied", || {
        applier.status().applied == shipped
    });
    applier.stop();
}

#[test]
fn files_are_kept_until_the_disk_comes_back_with_the_word_that_they_have_arrived() {
    let site = Site::new(Initial::Identical);
    site.add_mirror(HERE, &blank());
    fs::write(site.image(THERE), blank()).unwrap();
    let source = site.start(&[(HERE, NO_LIMIT)]);
    let mut rounds = site.rounds_in_place(&source, HERE);
    let seal = |seed| {
        let before = source.mirrored.capture().status().sealed;
        write_at_random(&source.mirrored, seed, 40);
        let captured = source.mirrored.capture().status().captured;
        wait_until("it to be sealed", || {
            let sealed = source.mirrored.capture().status().sealed;
            sealed != before && sealed.lsn >= captured
        });
    };
    let carry = |from: &str, to: &str| fs::rename(site.path(from), site.path(to)).unwrap();

    for journey in 0..3 {
        seal(2 * journey);
        assert_eq!(round(&mut rounds).unwrap(), Next::Soon);
        let on_the_disk = site.kept_files();
        carry(HERE, THERE);
        // it is away: what is written meanwhile is kept, and so is what is on its way
        seal(2 * journey + 1);
        round(&mut rounds).unwrap_err();
        let kept = site.kept_files();
        assert!(
            kept > on_the_disk,
            "{kept} files, {on_the_disk} on the disk"
        );
        apply_all(&site, &rounds);
        round(&mut rounds).unwrap_err();
        assert_eq!(site.kept_files(), kept);
        // and goes when the disk is back
        carry(THERE, HERE);
        round(&mut rounds).unwrap();
        assert_eq!(site.kept_files(), kept - on_the_disk);
        assert_eq!(source.standing(HERE), Standing::Follows);
    }
    source.mirrored.stop().unwrap();
    let sealed = site.spool().sealed().unwrap();
    while rounds.status().shipped != sealed {
        round(&mut rounds).unwrap();
    }
    carry(HERE, THERE);
    apply_all(&site, &rounds);
    assert_same(&site.path("source.img"), &site.image(THERE));
}

//! A volume that is shipped into a store, and mirrors that fetch from it. A directory stands in the
//! place of the store: what the coordinators do is the same, and nobody is there who could be asked.

use std::num::NonZeroUsize;
use std::time::Duration;

use aim_core::capture::Initial;
use aim_core::cursor::{Standing, StoreCursor};
use aim_core::device::BlockDevice;
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::FileName;
use aim_core::state_file::StateFile;
use aim_core::units::{ByteOffset, FileNumber};
use aim_remote::fetch::{FetchOptions, FetchRounds, Fetcher};
use aim_remote::ship::{MaxLag, Shipper, StoreOptions, TargetKind};
use aim_remote::transport::LocalTransport;

use super::coordinators::{assert_same, ship_options, wait_until, write_at_random};
use super::site::{NO_LIMIT, Site, Source, random};

/// Looks often.
const KEEP: StoreOptions = StoreOptions {
    baseline_every: Duration::from_secs(86_400),
    reader_age: Duration::from_secs(86_400),
    look_every: Duration::ZERO,
};

impl Site {
    /// Makes a directory as a store is after `aim init`.
    fn add_store(&self, name: &str) {
        for folder in ["incoming", "readers"] {
            std::fs::create_dir_all(self.path(name).join(folder)).unwrap();
        }
        let root = HostDirectory::open(self.path(name)).unwrap();
        self.identity.store(&*root).unwrap();
        assert!(VolumeIdentity::load(&*root).unwrap().is_some());
    }

    /// A target that is called so is a store.
    fn start_stored(&self, targets: &[(&'static str, MaxLag)]) -> Source {
        let kinds = targets.iter().map(|(name, max_lag)| match *name {
            "store" => (*name, *max_lag, TargetKind::Store),
            _ => (*name, *max_lag, TargetKind::Mirror),
        });
        self.start_kinds(&kinds.collect::<Vec<_>>())
    }

    fn store_by(&self, source: &Source, name: &str, options: StoreOptions) -> Shipper {
        let rounds = self.rounds(source, name).keeping(options);
        Shipper::go_round(rounds, ship_options()).unwrap()
    }

    fn fetch(&self, store: &str, mirror: &str) -> Fetcher {
        let transport = LocalTransport::new(self.path(store));
        let files = NonZeroUsize::new(3).unwrap();
        let rounds = FetchRounds::new(self.mirror(mirror), transport, files);
        let options = FetchOptions {
            poll: Duration::from_millis(10),
            first_retry: Duration::from_millis(10),
            last_retry: Duration::from_millis(100),
        };
        Fetcher::start(rounds, options).unwrap()
    }

    fn store_cursor(&self, name: &str) -> StoreCursor {
        let root = HostDirectory::open(self.path(name)).unwrap();
        let loaded = StoreCursor::load(&*root).unwrap();
        loaded.unwrap_or_else(|| StoreCursor::new(self.identity.id))
    }

    /// Numbers of the files in a store.
    fn stored(&self, name: &str) -> Vec<FileNumber> {
        let files = std::fs::read_dir(self.path(name).join("incoming")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let names = names.filter_map(|name| FileName::parse_sealed(&name).ok());
        let mut numbers: Vec<_> = names.map(|name| name.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Stops the source, and waits until these mirrors have applied all.
    fn finish_stored(&self, source: Source, store: (&str, Shipper), mirrors: Vec<(&str, Fetcher)>) {
        source.mirrored.stop().unwrap();
        let sealed = self.spool().sealed().unwrap();
        wait_until("the store to have all", || {
            self.store_cursor(store.0).received == sealed
        });
        wait_until("the source to let go of it", || self.kept_files() == 0);
        for (name, fetcher) in mirrors {
            let applier = self.apply(name);
            wait_until("the series to drain", || applier.status().applied == sealed);
            let status = applier.status();
            assert_eq!(status.rejected_files, 0, "{:?}", status.last_rejected);
            wait_until("the source to hear of it", || {
                let readers = store.1.status().readers;
                readers
                    .iter()
                    .filter(|reader| reader.applied == sealed)
                    .count()
                    > 0
            });
            applier.stop();
            drop(fetcher);
            assert_same(&self.path("source.img"), &self.image(name));
        }
        store.1.stop();
    }
}

#[test]
fn mirrors_begin_at_the_baseline_that_is_in_the_store_and_follow() {
    let site = Site::new(Initial::Unknown);
    std::fs::write(site.path("source.img"), random(1)).unwrap();
    site.add_store("store");
    site.add_follower("first", &random(2));
    site.add_follower("second", &random(3));
    let source = site.start_stored(&[("store", NO_LIMIT)]);
    let shipper = site.store_by(&source, "store", KEEP);
    let first = site.fetch("store", "first");
    write_at_random(&source.mirrored, 41, 40);
    wait_until("the store to follow", || {
        source.standing("store") == Standing::Follows
    });
    let base = site.store_cursor("store").base;
    assert_ne!(base, FileNumber(0));
    let applier = site.apply("first");
    write_at_random(&source.mirrored, 42, 40);
    // one that comes later, while the store goes on
    let second = site.fetch("store", "second");
    write_at_random(&source.mirrored, 43, 40);
    applier.stop();
    site.finish_stored(
        source,
        ("store", shipper),
        vec![("first", first), ("second", second)],
    );
    // what the baseline does not need was never there
    assert!(site.stored("store").first() >= Some(&base));
}

#[test]
fn what_lies_before_a_later_baseline_is_removed_when_all_who_follow_have_it() {
    let site = Site::new(Initial::Identical);
    site.add_store("store");
    site.add_follower("slow", &random(4));
    let source = site.start_stored(&[("store", NO_LIMIT)]);
    let shipper = site.store_by(&source, "store", KEEP);
    let applier = site.apply("slow");
    let fetcher = site.fetch("store", "slow");
    write_at_random(&source.mirrored, 51, 40);
    wait_until("it to follow", || {
        let readers = shipper.status().readers;
        readers.iter().any(|reader| !reader.received.is_start())
    });
    // it is away for a while
    drop(fetcher);
    applier.stop();
    let first = site.store_cursor("store").base;
    shipper.stop();
    let renew = StoreOptions {
        baseline_every: Duration::ZERO,
        ..KEEP
    };
    let shipper = site.store_by(&source, "store", renew);
    write_at_random(&source.mirrored, 52, 40);
    wait_until("another baseline", || {
        site.store_cursor("store").base > first
    });
    shipper.stop();
    let shipper = site.store_by(&source, "store", KEEP);
    let base = site.store_cursor("store").base;
    wait_until("it to have looked", || !shipper.status().readers.is_empty());
    // what it has said last, not what it has received since
    let lacks = shipper.status().readers[0].received.file.next();
    wait_until("what it has to be removed", || {
        site.stored("store").first() == Some(&lacks)
    });
    assert!(lacks < base);
    let applier = site.apply("slow");
    let fetcher = site.fetch("store", "slow");
    source.mirrored.write(ByteOffset(0), &[1; 512]).unwrap();
    // another one may have followed meanwhile
    wait_until("what lies before the baseline to be removed", || {
        let last = site.store_cursor("store").base;
        last >= base && site.stored("store").first() == Some(&last)
    });
    applier.stop();
    site.finish_stored(source, ("store", shipper), vec![("slow", fetcher)]);
}

/// The name of a file in a store proves nothing.
#[test]
fn what_a_stopped_source_has_left_is_read_back() {
    let site = Site::new(Initial::Identical);
    site.add_store("store");
    site.add_follower("mirror", &random(6));
    let source = site.start_stored(&[("store", NO_LIMIT)]);
    let shipper = site.store_by(&source, "store", KEEP);
    write_at_random(&source.mirrored, 61, 20);
    wait_until("the store to follow", || {
        source.standing("store") == Standing::Follows
    });
    shipper.stop();
    write_at_random(&source.mirrored, 62, 20);
    let waiting = site.spool().outgoing().unwrap().files;
    let file = waiting.first().unwrap();
    // of the right name and length, as a store may have it that lost what it was given
    let path = site.path("store").join("incoming").join(file.name.sealed());
    std::fs::write(&path, vec![0; file.bytes as usize]).unwrap();
    let shipper = site.store_by(&source, "store", KEEP);
    let fetcher = site.fetch("store", "mirror");
    site.finish_stored(source, ("store", shipper), vec![("mirror", fetcher)]);
}

/// A mirror that can be asked, and holds nearly all, beside a store.
#[test]
fn a_store_may_be_one_of_several_targets() {
    let site = Site::new(Initial::Unknown);
    let content = random(7);
    std::fs::write(site.path("source.img"), &content).unwrap();
    site.add_store("store");
    site.add_mirror("near", &content);
    site.add_follower("far", &random(8));
    let targets = [("near", NO_LIMIT), ("store", NO_LIMIT)];
    let source = site.start_stored(&targets);
    let near = site.ship(&source, "near");
    let shipper = site.store_by(&source, "store", KEEP);
    let applier = site.apply("near");
    let fetcher = site.fetch("store", "far");
    write_at_random(&source.mirrored, 71, 20);
    wait_until("both to follow", || {
        ["near", "store"]
            .iter()
            .all(|name| source.standing(name) == Standing::Follows)
    });
    site.finish_stored(source, ("store", shipper), vec![("far", fetcher)]);
    let sealed = site.spool().sealed().unwrap();
    wait_until("the other one to have all", || {
        applier.status().applied == sealed
    });
    near.stop();
    applier.stop();
    assert_same(&site.path("source.img"), &site.image("near"));
}

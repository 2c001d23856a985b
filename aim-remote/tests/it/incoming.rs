//! What the mirror host does in `incoming/`, step by step: what looking costs, what it clears away,
//! and what it waits for.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use aim_core::device::MemDevice;
use aim_core::format::Kind;
use aim_core::fs::Directory;
use aim_core::identity::VolumeIdentity;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::{ByteLen, FileNumber};
use aim_remote::apply::Steps;
use aim_tests::{MemFileSystem, Power, Series, SeriesFile};

use crate::counting::{Calls, Counted, Counting};

const SIZE: u64 = 64 << 10;
const HOUR: Duration = Duration::from_secs(3600);

struct Host {
    series: Series,
    calls: Arc<Calls>,
    incoming: Arc<dyn Directory>,
    device: Arc<MemDevice>,
    steps: Steps,
}

impl Host {
    /// A mirror that sets wrong files aside when they have stayed the same for so long.
    fn new(seed: u64, settle: Duration) -> Self {
        let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
        let calls = Arc::new(Calls::default());
        let folder = MemFileSystem::new(Power::steady()).folder("/mirror");
        let root = Counting::within(folder.clone(), calls.clone());
        let spool = MirrorSpool::create(root, &identity).unwrap();
        let device = Arc::new(MemDevice::new(ByteLen(SIZE), 512));
        Self {
            series: Series::new(identity, seed),
            calls,
            incoming: folder.subdirectory("incoming").unwrap(),
            steps: Steps::new(spool, vec![device.clone()], settle).unwrap(),
            device,
        }
    }

    fn deliver(&self, file: &SeriesFile) {
        let name = file.name.sealed();
        let bytes = self.series.folder().read_small(&name, 1 << 30).unwrap();
        self.put(&name, &bytes);
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.incoming.create(name).unwrap();
        file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    }

    fn is_there(&self, name: &str) -> bool {
        self.incoming.open(name, false).is_ok()
    }

    /// Receives and applies until nothing is left to do.
    fn go_on(&mut self) {
        self.steps.receive().unwrap();
        while self.steps.apply().unwrap() {}
    }

    fn received(&self) -> FileNumber {
        self.steps.status().received.file
    }

    fn applied(&self) -> FileNumber {
        self.steps.status().applied.file
    }
}

const MANY: u64 = 1000;

/// Files that wait for the end of a group are not looked at again for each that arrives.
#[test]
fn a_look_costs_what_has_arrived_and_not_what_waits() {
    let mut host = Host::new(1, HOUR);
    for _ in 1..MANY {
        let file = host.series.next_file_in_group(2);
        host.deliver(&file);
    }
    host.go_on();
    let first = host.calls.take();
    // measured, verified, synced; its header for the run
    assert!(first.opens <= 4 * MANY + 1, "{first:?}");
    assert_eq!(host.steps.status().waiting_files, MANY - 1);
    host.go_on();
    let idle = Counted {
        lists: 1,
        opens: 0,
        removals: 0,
    };
    assert_eq!(host.calls.take(), idle, "nothing has changed");
    let last = host.series.next_file(2);
    host.deliver(&last);
    host.steps.receive().unwrap();
    let one = host.calls.take();
    assert!(one.lists == 1 && one.opens <= 3, "{one:?}");
    host.go_on();
    let all = host.calls.take();
    // each is verified, and read again
    assert!(all.lists == 1 && all.opens <= 2 * MANY + 2, "{all:?}");
    assert_eq!(all.removals, MANY);
    assert_eq!(host.applied(), last.position.file);
    assert!(host.device.content() == last.devices[0]);
    assert!(host.incoming.list().unwrap().is_empty());
}

/// A file that is applied does not cost a look at all that wait behind it.
#[test]
fn applying_costs_what_is_applied_and_not_what_waits() {
    let mut host = Host::new(2, HOUR);
    for _ in 0..MANY {
        let file = host.series.next_file(2);
        host.deliver(&file);
    }
    host.go_on();
    let all = host.calls.take();
    // a list for what arrives, one for what an earlier start may have left
    assert_eq!(all.lists, 2);
    // measured, verified, synced; its header, its content, and when it was begun
    assert!(all.opens <= 6 * MANY, "{all:?}");
    assert_eq!(all.removals, MANY);
    assert!(host.incoming.list().unwrap().is_empty());
}

/// Out of order, and one that begins with a baseline is looked for: not in each of them each time.
#[test]
fn what_waits_for_an_earlier_file_is_looked_into_once() {
    let mut host = Host::new(3, HOUR);
    let missing = host.series.next_file(2);
    for _ in 1..MANY {
        let file = host.series.next_file(2);
        host.deliver(&file);
    }
    host.go_on();
    host.calls.take();
    for _ in 0..3 {
        host.go_on();
        let idle = host.calls.take();
        // whether the missing one has come is not looked for either: no baseline is there
        assert!(idle.lists == 1 && idle.opens == 0, "{idle:?}");
    }
    assert_eq!(host.steps.status().missing, Some(FileNumber(1)));
    host.deliver(&missing);
    host.go_on();
    assert_eq!(host.applied(), FileNumber(MANY));
}

/// What was applied and comes again is removed, as is what an earlier start has left.
#[test]
fn applied_files_that_come_again_are_removed() {
    let mut host = Host::new(4, HOUR);
    let files = [host.series.next_file(2), host.series.next_file(2)];
    files.iter().for_each(|file| host.deliver(file));
    host.go_on();
    for file in &files {
        host.deliver(file);
        host.go_on();
        assert!(host.incoming.list().unwrap().is_empty());
    }
}

#[test]
fn removing_looks_at_names_only() {
    let calls = Arc::new(Calls::default());
    let folder = MemFileSystem::new(Power::steady()).folder("/journal");
    let root = Counting::within(folder.clone(), calls.clone());
    let identity = VolumeIdentity::generate(ByteLen(SIZE), 512);
    let spool = SourceSpool::create(root, &identity).unwrap();
    let mut series = Series::new(identity, 5);
    let outgoing = folder.subdirectory("outgoing").unwrap();
    for _ in 0..MANY {
        let file = series.next_file(1);
        outgoing.create(&file.name.sealed()).unwrap();
    }
    calls.take();
    let mut received = series.position();
    received.file = FileNumber(3);
    assert_eq!(spool.remove_received(received).unwrap(), 3);
    let three = Counted {
        lists: 1,
        opens: 0,
        removals: 3,
    };
    assert_eq!(calls.take(), three);
}

/// What was left over of a file that has come otherwise goes, unless somebody still writes it.
#[test]
fn leftovers_of_received_files_are_removed() {
    let mut host = Host::new(6, Duration::ZERO);
    let files = [(); 3].map(|()| host.series.next_file(2));
    let (first, third) = (files[0].name, files[2].name);
    host.deliver(&files[0]);
    host.deliver(&files[1]);
    let useless = [
        first.partial(),
        format!("{}.part", first.packed()),
        format!("{}.tmp", first.sealed()),
        format!("{}.copy.tmp", first.packed()),
    ];
    let growing = format!("{}.part", files[1].name.packed());
    let foreign = Series::new(VolumeIdentity::generate(ByteLen(SIZE), 512), 7)
        .next_file(1)
        .name;
    let kept = [
        third.partial(),
        format!("{}.part", third.packed()),
        foreign.partial(),
        "notes.part".to_owned(),
        ".hidden".to_owned(),
    ];
    for name in useless.iter().chain(&kept).chain([&growing]) {
        host.put(name, b"a part");
    }
    host.go_on();
    // nothing goes at the first look
    assert!(useless.iter().all(|name| host.is_there(name)));
    let writer = host.incoming.open(&growing, true).unwrap();
    writer.write_all_at(&[IoSlice::new(b"more")], 6).unwrap();
    host.go_on();
    assert!(!useless.iter().any(|name| host.is_there(name)));
    assert!(host.is_there(&growing), "it is being written");
    host.go_on();
    assert!(!host.is_there(&growing));
    assert!(kept.iter().all(|name| host.is_there(name)));
    // the third file comes by another way
    host.deliver(&files[2]);
    host.go_on();
    host.go_on();
    assert!(!host.is_there(&kept[0]) && !host.is_there(&kept[1]));
    assert!(host.is_there(&kept[2]) && host.is_there(&kept[3]));
    assert_eq!(host.applied(), FileNumber(3));
}

#[test]
fn a_leftover_stays_for_long() {
    let mut host = Host::new(8, Duration::from_secs(10));
    let file = host.series.next_file(2);
    host.deliver(&file);
    host.put(&file.name.partial(), b"a part");
    (0..3).for_each(|_| host.go_on());
    assert_eq!(host.applied(), FileNumber(1));
    assert!(host.is_there(&file.name.partial()));
}

/// Files 1 and 2, a third one, 4; 5 begins a baseline that 6 ends; 7. Instead of the third one comes
/// one that does not fit.
fn with_a_wrong_third(seed: u64, settle: Duration) -> (Host, SeriesFile) {
    let mut host = Host::new(seed, settle);
    let mut files: Vec<SeriesFile> = (0..4).map(|_| host.series.next_file(2)).collect();
    let begin = host.series.position().lsn.next();
    let half = SIZE / 2;
    let begun = [(Kind::BaselineBegin, 0, 0), (Kind::Write, 0, half)];
    files.push(host.series.next_file_of(&begun));
    let ended = [
        (Kind::Write, half, half),
        (Kind::BaselineEnd { begin }, 0, 0),
    ];
    files.push(host.series.next_file_of(&ended));
    files.push(host.series.next_file(2));
    let mut other = Series::new(host.series.identity().clone(), seed + 1);
    let mut before = files[1].position;
    before.digest[0] ^= 1;
    other.set_position(before);
    let wrong = other.next_file(2).name.sealed();
    host.put(&wrong, &other.folder().read_small(&wrong, 1 << 30).unwrap());
    for index in [0, 1, 3, 4, 5, 6] {
        host.deliver(&files[index]);
    }
    host.go_on();
    assert_eq!(host.steps.status().rejected_files, 1);
    assert!(!host.is_there(&wrong));
    (host, files.swap_remove(2))
}

/// The source has what was set aside, and sends it again: a baseline for another target is no reason
/// to stand still until its end.
#[test]
fn what_was_set_aside_is_waited_for_before_a_baseline_is_gone_on_with() {
    let (mut host, third) = with_a_wrong_third(10, HOUR);
    host.go_on();
    assert_eq!(
        (host.received(), host.applied()),
        (FileNumber(2), FileNumber(2))
    );
    assert_eq!(host.steps.status().missing, Some(FileNumber(3)));
    host.deliver(&third);
    host.go_on();
    assert_eq!(host.applied(), FileNumber(7));
}

/// It is not waited for without end: it may be gone there too.
#[test]
fn what_does_not_come_again_is_made_up_for_by_the_baseline() {
    let (mut host, _) = with_a_wrong_third(12, Duration::ZERO);
    host.go_on();
    assert_eq!(host.applied(), FileNumber(7));
    assert!(host.device.content() == host.series.next_file_of(&[(Kind::Flush, 0, 0)]).devices[0]);
}

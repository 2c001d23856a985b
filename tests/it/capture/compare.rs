//! A resync that asks what the mirror holds copies only what differs.

use std::sync::atomic::{AtomicBool, Ordering};

use aim_core::capture::Wanted;
use aim_core::format::Iocb;
use aim_core::signature::Answer;

use super::resync::Failing;
use super::*;

/// Answers what is asked, as the mirror host would: of a mirror that holds `image`.
fn answering<D: BlockDevice, T>(
    mirrored: &MirroredDevice<Arc<D>>,
    image: &[u8],
    body: impl FnOnce() -> T,
) -> T {
    let mirror = disk();
    mirror.write(ByteOffset(0), image).unwrap();
    let mirror: Vec<Arc<dyn BlockDevice>> = vec![mirror];
    let comparison = mirrored.capture().comparison();
    comparison.admit(1);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                match comparison.question(1) {
                    Some(question) => {
                        comparison.answer(1, Answer::to(&question, &mirror).unwrap());
                    }
                    None => std::thread::park_timeout(Duration::from_millis(1)),
                }
            }
        });
        let done = body();
        ends.store(true, Ordering::Relaxed);
        done
    })
}

impl Source {
    fn comparing() -> Self {
        let mut source = Self::new(None);
        source.config.compare = true;
        source
    }

    /// Bytes of payload in the sealed files.
    fn payload_bytes(&self) -> u64 {
        let spool = self.spool();
        let files = spool.outgoing().unwrap().files;
        let bytes = files.iter().map(|waiting| {
            let name = waiting.name.sealed();
            let file = spool.outgoing_folder().open(&name, false).unwrap();
            let file = VerifiedFile::open(file).unwrap();
            let sizes = file.records().iter().map(Iocb::stored_size).map(u64::from);
            sizes.sum::<u64>()
        });
        bytes.sum()
    }
}

fn random_content(seed: u64) -> Vec<u8> {
    let mut content = vec![0; SIZE];
    Rng::new(seed).fill(&mut content);
    content
}

#[test]
fn only_blocks_that_differ_are_copied() {
    let (source, device) = (Source::comparing(), disk());
    let content = random_content(1);
    device.write(ByteOffset(0), &content).unwrap();
    let mut image = content.clone();
    for place in [5000, 100_000, 100_600, 700_000] {
        image[place] ^= 1;
    }
    let mirrored = source.start(device.clone());
    answering(&mirrored, &image, || {
        mirrored.capture().request_resync(&[Wanted::All]);
        source.heal(&mirrored);
    });
    mirrored.stop().unwrap();
    assert_eq!(source.payload_bytes(), 3 * 4096);
    assert!(source.mirrored_from(image) == content);
}

/// Otherwise the mirror would go on to call different what is around the bytes that were.
#[test]
fn a_range_that_was_found_to_differ_is_copied_in_full() {
    let (source, device) = (Source::comparing(), disk());
    let content = random_content(3);
    device.write(ByteOffset(0), &content).unwrap();
    let mut image = content.clone();
    image[5000] ^= 1;
    let mirrored = source.start(device.clone());
    let range = Wanted::Range {
        device: 0,
        offset: ByteOffset(0),
        len: ByteLen(EXTENT),
    };
    answering(&mirrored, &image, || {
        mirrored.capture().request_resync(&[range]);
        source.heal(&mirrored);
    });
    mirrored.stop().unwrap();
    assert_eq!(source.payload_bytes(), EXTENT);
    assert!(source.mirrored_from(image) == content);
}

#[test]
fn what_is_written_meanwhile_is_right_too() {
    for seed in 0..6 {
        let (source, device) = (Source::comparing(), disk());
        device.write(ByteOffset(0), &random_content(seed)).unwrap();
        // a mirror of which parts are older, and parts are the same
        let mut image = random_content(seed);
        image[SIZE / 3..SIZE / 2].fill(7);
        let mirrored = source.start(device.clone());
        let mut rng = Rng::new(seed);
        answering(&mirrored, &image, || {
            mirrored.capture().request_resync(&[Wanted::All]);
            while mirrored.capture().status().resync.is_some() {
                change(&mirrored, &mut rng);
            }
        });
        mirrored.stop().unwrap();
        assert!(
            source.mirrored_from(image) == device.content(),
            "seed {seed}"
        );
    }
}

/// A transaction that is lost inside of the group makes the comparison worthless: a block may be
/// again what the mirror has, although the group changes it.
#[test]
fn what_was_lost_in_the_group_is_copied_in_full() {
    let (source, device) = (Source::comparing(), disk());
    let content = random_content(2);
    device.write(ByteOffset(0), &content).unwrap();
    let mirrored = source.start(device.clone());
    mirrored.capture().comparison().admit(1);
    mirrored.capture().request_resync(&[Wanted::All]);
    wait_until(|| mirrored.capture().comparison().question(1).is_some());
    // captured in the group
    mirrored.write(ByteOffset(4096), &[1; 4096]).unwrap();
    mirrored.sync().unwrap();
    // lost in the group: the block is again what the mirror holds
    let failing = source.power.steps() + 1;
    source.power.fail_at(failing, std::io::ErrorKind::Other);
    mirrored
        .write(ByteOffset(4096), &content[4096..8192])
        .unwrap();
    mirrored.sync().unwrap();
    answering(&mirrored, &content, || source.heal(&mirrored));
    mirrored.stop().unwrap();
    assert!(device.content() == content);
    assert!(source.mirrored_from(content.clone()) == content);
}

/// A request that fails is in no record, and may have left on the disk what the mirror holds, although
/// the group has changed it.
#[test]
fn what_failed_in_the_group_is_copied_in_full() {
    let (source, device) = (Source::comparing(), Failing::new());
    let content = random_content(4);
    device.write(ByteOffset(0), &content).unwrap();
    let mirrored = source.start(device.clone());
    mirrored.capture().comparison().admit(1);
    mirrored.capture().request_resync(&[Wanted::All]);
    wait_until(|| mirrored.capture().comparison().question(1).is_some());
    mirrored.write(ByteOffset(0), &[1; BLOCK]).unwrap();
    device.fails_writes.store(true, Ordering::Relaxed);
    let failed = mirrored.write(ByteOffset(0), &content[..BLOCK]);
    failed.unwrap_err();
    answering(&mirrored, &content, || source.heal(&mirrored));
    mirrored.stop().unwrap();
    assert!(source.mirrored_from(content.clone()) == content);
}

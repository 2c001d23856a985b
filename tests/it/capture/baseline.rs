//! A baseline holds all of the volume, and changes nothing for whoever lacks nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Wants a baseline that begins behind what was captured so far.
fn want_one(mirrored: &MirroredDevice<Arc<MemDevice>>) -> Lsn {
    let from = mirrored.capture().status().captured.next();
    mirrored.capture().baselines().want(1, from);
    from
}

fn wait_for_one(source: &Source, mirrored: &MirroredDevice<Arc<MemDevice>>, from: Lsn) {
    let baselines = mirrored.capture().baselines();
    wait_until(|| {
        // what is open is sealed soon: a write fills it up
        mirrored.write(ByteOffset(0), &[1; REQUEST_MAX]).unwrap();
        baselines.status().ended >= from
    });
    baselines.unwant(1);
    source.heal(mirrored);
}

impl Source {
    /// What a mirror holds that held something else before and took the series up at the first
    /// baseline from `from` on.
    fn mirrored_from_baseline(&self, from: Lsn) -> Vec<u8> {
        let mut image = vec![0; SIZE];
        Rng::new(77).fill(&mut image);
        let spool = self.spool();
        let (mut base, mut has_ended) = (None, false);
        for waiting in spool.outgoing().unwrap().files {
            let name = waiting.name.sealed();
            let file = spool.outgoing_folder().open(&name, false).unwrap();
            let file = VerifiedFile::open(file).unwrap();
            let seal = file.seal();
            if seal.baseline_begun >= from && base.is_none() {
                base = Some(seal.baseline_begun);
            }
            let Some(base) = base else { continue };
            has_ended |= seal.baseline_ended >= base;
            for iocb in file.records() {
                let start = iocb.offset.get() as usize;
                let range = &mut image[start..start + iocb.len.get() as usize];
                match iocb.kind {
                    Kind::Write => file.read_payload(iocb, range).unwrap(),
                    Kind::WriteZeroes { .. } | Kind::Discard => range.fill(0),
                    _ => {}
                }
            }
        }
        assert!(has_ended);
        image
    }
}

#[test]
fn whoever_takes_up_the_series_at_a_baseline_holds_what_the_source_does() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(5);
    (0..100).for_each(|_| change(&mirrored, &mut rng));
    let from = want_one(&mirrored);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::new(6);
            while !ends.load(Ordering::Relaxed) {
                change(&mirrored, &mut rng);
            }
        });
        wait_for_one(&source, &mirrored, from);
        ends.store(true, Ordering::Relaxed);
    });
    mirrored.stop().unwrap();
    let content = device.content();
    assert!(source.mirrored() == content, "for one that lacks nothing");
    assert!(source.mirrored_from_baseline(from) == content);
}

#[test]
fn nobody_who_follows_waits_for_its_end() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    mirrored.write(ByteOffset(0), &[9; 4096]).unwrap();
    let baselines = mirrored.capture().baselines();
    let from = want_one(&mirrored);
    wait_until(|| baselines.status().covered > ByteLen(0));
    baselines.pause(true);
    // a group would hold the mirror back
    assert_eq!(mirrored.capture().status().resync, None);
    mirrored.write(ByteOffset(0), &[8; 4096]).unwrap();
    baselines.pause(false);
    wait_for_one(&source, &mirrored, from);
    let covered = baselines.status();
    assert_eq!((covered.covered, covered.is_wanted), (covered.total, false));
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

#[test]
fn what_nobody_wants_any_more_is_given_up_and_another_begins_anew() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let baselines = mirrored.capture().baselines();
    want_one(&mirrored);
    wait_until(|| baselines.status().begin != Lsn(0));
    baselines.unwant(1);
    let from = want_one(&mirrored);
    wait_for_one(&source, &mirrored, from);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
    assert!(source.mirrored_from_baseline(from) == device.content());
}

/// A piece that was read and did not reach the journal is in no extent that is noted: nobody but
/// the baseline knows that it is missing.
#[test]
fn a_baseline_that_lost_something_begins_anew() {
    for failing in [0, 1, 4, 9] {
        let (source, device) = (Source::new(None), disk());
        let mut content = vec![0; SIZE];
        Rng::new(failing).fill(&mut content);
        device.write(ByteOffset(0), &content).unwrap();
        let mirrored = source.start(device.clone());
        let baselines = mirrored.capture().baselines();
        let from = want_one(&mirrored);
        wait_until(|| baselines.status().covered > ByteLen(0));
        let step = source.power.steps() + 1 + failing * 3;
        source.power.fail_at(step, std::io::ErrorKind::Other);
        wait_for_one(&source, &mirrored, from);
        mirrored.stop().unwrap();
        assert!(
            source.mirrored_from_baseline(from) == device.content(),
            "step {failing}"
        );
    }
}

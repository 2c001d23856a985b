//! P4: trouble with the journal never hurts the disk, and P3: it is made good.

use aim_core::capture::CaptureState;

use super::*;

fn is_passthrough(state: &CaptureState) -> bool {
    matches!(state, CaptureState::Passthrough { .. })
}

/// With `on_full = "block"` a journal without room makes writers wait at most.
#[test]
fn capture_journal_full_blocks_where_that_is_wanted() {
    let (source, device) = (Source::new(None).blocking(), disk());
    let mirrored = source.start(device.clone());
    mirrored.write(ByteOffset(0), &[1; 4096]).unwrap();
    mirrored.sync().unwrap();
    source.files.set_capacity(Some(0));
    for _ in 0..40 {
        mirrored.write(ByteOffset(0), &[1; 4096]).unwrap();
        if matches!(
            mirrored.capture().status().state,
            CaptureState::Blocked { .. }
        ) {
            break;
        }
    }
    source.files.set_capacity(None);
    mirrored.sync().unwrap();
    // who waits for durability is told before the status is
    wait_until(|| mirrored.capture().status().state == CaptureState::Capturing);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

#[test]
fn capture_journal_full_is_tracked_and_made_good() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(5);
    (0..20).for_each(|_| change(&mirrored, &mut rng));
    source.files.set_capacity(Some(0));
    (0..300).for_each(|_| change(&mirrored, &mut rng));
    wait_until(|| is_passthrough(&mirrored.capture().status().state));
    assert!(mirrored.capture().status().resync.is_some());
    (0..20).for_each(|_| change(&mirrored, &mut rng));
    source.files.set_capacity(None);
    (0..50).for_each(|_| change(&mirrored, &mut rng));
    source.heal(&mirrored);
    (0..50).for_each(|_| change(&mirrored, &mut rng));
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

#[test]
fn capture_within_the_room_that_is_allowed() {
    let (mut source, device) = (Source::new(None), disk());
    source.config.journal.bytes = Some(ByteLen(256 << 10));
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(6);
    (0..300).for_each(|_| change(&mirrored, &mut rng));
    wait_until(|| is_passthrough(&mirrored.capture().status().state));
    assert!(source.spool().outgoing().unwrap().bytes() <= 256 << 10);
    mirrored.stop().unwrap();
    // a start with a larger allowance goes on where it was
    source.config.journal.bytes = Some(ByteLen(64 << 20));
    let successor = source.start(device.clone());
    source.heal(&successor);
    successor.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// A journal file of which a sync failed is never trusted again; what it holds durably is kept.
#[test]
fn capture_journal_fails_and_comes_back() {
    std::thread::scope(|scope| {
        // each waits for the next try most of its time
        for step in 1..40 {
            scope.spawn(move || a_failure_at(step));
        }
    });
}

fn a_failure_at(step: u64) {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(step);
    (0..20).for_each(|_| change(&mirrored, &mut rng));
    mirrored.sync().unwrap();
    let failing = source.power.steps() + step;
    source.power.fail_at(failing, std::io::ErrorKind::Other);
    while source.power.steps() < failing {
        change(&mirrored, &mut rng);
    }
    mirrored.sync().unwrap();
    source.heal(&mirrored);
    (0..20).for_each(|_| change(&mirrored, &mut rng));
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content(), "step {step}");
}

#[test]
fn capture_starts_without_a_journal_that_can_be_written() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(8);
    (0..20).for_each(|_| change(&mirrored, &mut rng));
    mirrored.sync().unwrap();
    drop(mirrored);
    source.files.set_capacity(Some(0));
    let successor = source.start(device.clone());
    assert!(is_passthrough(&successor.capture().status().state));
    (0..20).for_each(|_| change(&successor, &mut rng));
    source.files.set_capacity(None);
    source.heal(&successor);
    successor.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

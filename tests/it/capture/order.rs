//! One order on disk and mirror.

use std::task::Waker;

use aim_core::intercept::{Admission, Interceptor, Landing, Outcome, Ticket};
use aim_core::request::Request;

use super::*;

#[test]
fn capture_of_random_changes_equals_the_disk() {
    for seed in 0..8 {
        let (source, device) = (Source::new(None), disk());
        let mirrored = source.start(device.clone());
        let mut rng = Rng::new(seed);
        (0..400).for_each(|_| change(&mirrored, &mut rng));
        let captured = mirrored.capture().status().captured;
        mirrored.stop().unwrap();
        assert!(source.mirrored() == device.content(), "seed {seed}");
        assert_eq!(source.spool().sealed().unwrap().lsn, captured);
    }
}

#[test]
fn capture_from_many_threads_has_one_order() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let mirrored = &mirrored;
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                (0..200).for_each(|_| change(mirrored, &mut rng));
            });
        }
    });
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// P2: of two overlapping writes in flight the second waits, so that disk and mirror end with the
/// same one on top, whichever the disk does first.
#[test]
fn capture_orders_overlapping_writes() {
    let (source, device) = (Source::new(None), disk());
    let capture = source.capture(device.clone());
    let request = Request::write(ByteOffset(0), ByteLen(4096));
    let staged = |byte: u8| {
        let mut landing = capture.landing(None, REQUEST_MAX, Waker::noop()).unwrap();
        landing.as_mut_slice()[..4096].fill(byte);
        landing
    };
    let admit = |landing: &mut Landing| match capture.admit(&request, Some(landing), Waker::noop())
    {
        Ok(Admission::Captured(ticket)) => Some(ticket),
        Ok(Admission::Pass) => panic!("a write is captured"),
        Err(_) => None,
    };
    let finish = |ticket: Ticket, byte: u8| {
        device.write(ByteOffset(0), &[byte; 4096]).unwrap();
        capture.complete(ticket, Outcome::Done);
    };
    let (mut first, mut second) = (staged(1), staged(2));
    let mut ticket = None;
    // first it is noted that the extent is written to
    wait_until(|| {
        ticket = admit(&mut first);
        ticket.is_some()
    });
    let ticket = ticket.unwrap();
    match admit(&mut second) {
        // without a lock the disk may do them in the other order
        Some(overtaking) => {
            finish(overtaking, 2);
            finish(ticket, 1);
        }
        None => {
            finish(ticket, 1);
            finish(admit(&mut second).unwrap(), 2);
        }
    }
    capture.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

#[test]
fn capture_goes_on_after_a_clean_stop() {
    let (source, device) = (Source::new(None), disk());
    let mut rng = Rng::new(1);
    for _ in 0..3 {
        let mirrored = source.start(device.clone());
        (0..50).for_each(|_| change(&mirrored, &mut rng));
        assert_eq!(mirrored.capture().status().resync, None);
        mirrored.stop().unwrap();
    }
    assert!(source.mirrored() == device.content());
}

#[test]
fn an_idle_volume_writes_nothing() {
    let (source, device) = (Source::new(None), disk());
    source.start(device.clone()).stop().unwrap();
    source.start(device).stop().unwrap();
    assert!(source.spool().outgoing().unwrap().files.is_empty());
    assert!(source.spool().open_folder().list().unwrap().is_empty());
}

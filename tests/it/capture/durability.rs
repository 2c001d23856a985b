//! What survives the source's end, and that it ends equal again.

use super::*;

/// P1, first half: what a flush covered survives a power cut of the source in the journal, and P3:
/// what is on the disk beyond it is copied.
#[test]
fn capture_durability_a_flush_survives_the_power_cut() {
    let mut copied = 0;
    for seed in 0..20 {
        let (source, device) = (Source::new(None), disk());
        let mirrored = source.start(device.clone());
        let mut rng = Rng::new(seed);
        (0..40).for_each(|_| change(&mirrored, &mut rng));
        mirrored.sync().unwrap();
        let flushed = mirrored.capture().status().captured;
        (0..4).for_each(|_| change(&mirrored, &mut rng));
        source.power.cut();
        drop(mirrored);
        source.files.crash(seed);
        source.power.restore();
        let successor = source.start(device.clone());
        assert!(
            successor.capture().status().drained >= flushed,
            "seed {seed}"
        );
        copied += u64::from(successor.capture().status().resync.is_some());
        source.heal(&successor);
        successor.stop().unwrap();
        assert!(source.mirrored() == device.content(), "seed {seed}");
    }
    assert!(copied > 0, "nothing was copied: this test proves nothing");
}

/// P1, second half: what was acknowledged survives the death of the process, because the ring
/// outlives it. A journal without room keeps everything in the ring here.
#[test]
fn capture_durability_an_acknowledged_write_survives_the_process() {
    let temp = tempfile::tempdir().unwrap();
    let ring = temp.path().join("ring");
    let (source, device) = (Source::new(Some(&ring)).blocking(), disk());
    let mirrored = source.start(device.clone());
    // so that the map needs no room later
    mirrored.write(ByteOffset(0), &[7; 512]).unwrap();
    mirrored.sync().unwrap();
    source.files.set_capacity(Some(0));
    for block in 0..5u8 {
        mirrored
            .write(ByteOffset(u64::from(block) * 4096), &[block + 1; 4096])
            .unwrap();
    }
    drop(mirrored);
    source.files.set_capacity(None);
    let successor = source.start(device.clone());
    let status = successor.capture().status();
    assert_eq!((status.drained, status.resync), (Lsn(7), None));
    successor.write(ByteOffset(0), &[9; 512]).unwrap();
    successor.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// P3: a write that was in flight when the process was killed is on the disk or not; the mirror
/// gets what the disk has.
#[test]
fn capture_durability_what_was_in_flight_is_copied() {
    use aim_core::intercept::{Admission, Interceptor};
    use aim_core::request::Request;

    for is_on_disk in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let ring = temp.path().join("ring");
        let (source, device) = (Source::new(Some(&ring)), disk());
        let capture = source.capture(device.clone());
        let waker = std::task::Waker::noop();
        let mut landing = capture.landing(None, REQUEST_MAX, waker).unwrap();
        landing.as_mut_slice()[..4096].fill(3);
        let request = Request::write(ByteOffset(8192), ByteLen(4096));
        wait_until(
            || match capture.admit(&request, Some(&mut landing), waker) {
                Ok(Admission::Captured(ticket)) => {
                    ticket.settle();
                    true
                }
                Ok(Admission::Pass) => panic!("a write is captured"),
                Err(_) => false,
            },
        );
        if is_on_disk {
            device.write(ByteOffset(8192), &[3; 4096]).unwrap();
        }
        drop(capture);
        let successor = source.start(device.clone());
        source.heal(&successor);
        successor.stop().unwrap();
        assert!(
            source.mirrored() == device.content(),
            "on disk: {is_on_disk}"
        );
    }
}

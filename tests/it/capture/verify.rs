//! Digests in the series are those of the disk at their place in the order.

use aim_core::capture::Wanted;

use super::*;

#[test]
fn digests_are_right_at_their_place_while_writes_go_on() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(9);
    for pass in 1..4 {
        assert_eq!(mirrored.capture().request_verify(), pass);
        (0..100).for_each(|_| change(&mirrored, &mut rng));
        wait_until(|| mirrored.capture().status().verify.passes == pass);
        let status = mirrored.capture().status().verify;
        assert_eq!(status.covered, ByteLen(SIZE as u64));
        assert!(!status.is_running && status.last > Lsn(0));
    }
    mirrored.stop().unwrap();
    // compares each digest at its LSN
    assert!(source.mirrored() == device.content());
}

/// The one digest of this small disk is followed by an hour of rest.
#[test]
fn a_slow_scrub_holds_up_neither_a_resync_nor_a_pass_that_was_asked_for() {
    let (mut source, device) = (Source::new(None), disk());
    source.config.verify_every = Some(Duration::from_secs(3600));
    let mirrored = source.start(device.clone());
    let status = || mirrored.capture().status().verify;
    wait_until(|| status().covered == ByteLen(SIZE as u64));
    assert!(status().is_running && status().passes == 0);
    mirrored.capture().request_resync(&[Wanted::All]);
    source.heal(&mirrored);
    let before = status().last;
    let pass = mirrored.capture().request_verify();
    wait_until(|| status().passes >= pass);
    assert!(status().last > before);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

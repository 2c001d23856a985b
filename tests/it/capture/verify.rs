//! Digests in the series are those of the disk at their place in the order.

use super::*;

#[test]
fn digests_are_right_at_their_place_while_writes_go_on() {
    let (source, device) = (Source::new(None), disk());
    let mirrored = source.start(device.clone());
    let mut rng = Rng::new(9);
    for pass in 1..4 {
        mirrored.capture().request_verify();
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

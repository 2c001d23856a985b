//! What the disk fails, the caller learns and the mirror never does.

use aim_core::intercept::Outcome;
use aim_ublk::UblkDevice;

use super::bench::{EVEN, MIB, config, directory, image, output, try_run, witness};
use crate::machine::shell;

#[test]
fn a_failed_request_is_failed_to_the_caller_and_not_captured_as_done() {
    shell("modprobe loop && modprobe dm-mod");
    let directory = directory();
    let (disk, mirror) = (
        directory.path().join("disk"),
        directory.path().join("mirror"),
    );
    image(&disk, 32 * MIB);
    image(&mirror, 32 * MIB);
    let under = output(&format!("losetup --show -f {}", disk.display()));
    // from 16 MiB the disk is broken
    shell(&format!(
        "printf '0 32768 linear {under} 0\\n32768 32768 error\\n' | dmsetup create broken && dmsetup mknodes"
    ));
    let config = config("/dev/mapper/broken".as_ref());
    let witness = witness(&config, &mirror, EVEN);
    let device = UblkDevice::start(config, witness.clone(), 0).unwrap();
    let path = device.path().display();
    shell(&format!(
        "dd if=/dev/urandom of={path} bs=1M count=1 oflag=direct status=none"
    ));
    for bad in [
        format!("dd if=/dev/urandom of={path} bs=64k count=1 seek=320 oflag=direct status=none"),
        format!("dd if={path} of=/dev/null bs=64k count=1 skip=320 iflag=direct status=none"),
        format!("blkdiscard -z -o 20M -l 1M {path}"),
    ] {
        assert!(!try_run(&bad).status.success(), "{bad}");
    }
    // it goes on
    shell(&format!(
        "dd if=/dev/urandom of={path} bs=1M count=1 seek=2 oflag=direct status=none"
    ));
    device.stop().unwrap();
    device.wait().unwrap();
    let records = std::sync::Arc::into_inner(witness)
        .unwrap()
        .finish()
        .unwrap();
    for record in records {
        let broken = record.request.offset.get() >= 16 * MIB;
        let expected = if broken {
            Outcome::Failed
        } else {
            Outcome::Done
        };
        assert_eq!(record.outcome, Some(expected), "{:?}", record.request);
    }
    shell(&format!("dmsetup remove broken && losetup -d {under}"));
    super::bench::assert_same(&disk, &mirror);
}

//! The stable name, the number, and who may have them.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use aim_core::intercept::Interceptor;
use aim_ublk::{Backing, DeviceConfig, Error, UblkDevice, kernel};

use super::bench::{Bench, EVEN, MIB, bystander, config, directory, image};
use crate::machine::shell;

#[test]
fn the_driver_says_what_it_can_do() {
    shell("modprobe ublk_drv");
    let features = kernel::features().unwrap();
    assert!(features.recovery_with_reissue(), "{features:?}");
    assert_ne!(features.bits(), 0);
}

#[test]
fn a_stale_name_is_replaced() {
    let directory = directory();
    let disk = directory.path().join("disk");
    image(&disk, MIB);
    let config = config(&disk);
    fs::create_dir_all("/dev/aim").unwrap();
    let name = format!("/dev/aim/{}", config.name);
    symlink("/dev/ublkb4000", &name).unwrap();
    let interceptor = bystander(&config);
    let device = UblkDevice::start(config, interceptor, 0).unwrap();
    assert_eq!(fs::read_link(&name).unwrap(), device.node());
}

#[test]
fn a_live_name_and_a_disk_in_use_are_refused() {
    let bench = Bench::new(16 * MIB, EVEN);
    assert!(matches!(
        Backing::open(&bench.disk),
        Err(Error::BackingBusy { .. })
    ));
    let directory = directory();
    let disk = directory.path().join("disk");
    image(&disk, MIB);
    let name = bench.device.path().file_name().unwrap().to_str().unwrap();
    let same = DeviceConfig {
        name: name.to_owned(),
        ..config(&disk)
    };
    let interceptor: Arc<dyn Interceptor> = bystander(&same);
    match UblkDevice::start(same, interceptor, 0) {
        Err(Error::NameInUse { device, .. }) => assert_eq!(device, bench.device.node()),
        other => panic!("{other:?}"),
    }
    bench.finish();
}

#[test]
fn a_number_can_be_chosen_and_is_free_again_after_a_stop() {
    let directory = directory();
    let disk = directory.path().join("disk");
    image(&disk, MIB);
    for _ in 0..3 {
        let config = DeviceConfig {
            id: Some(77),
            ..config(&disk)
        };
        let interceptor = bystander(&config);
        let device = UblkDevice::start(config, interceptor, 0).unwrap();
        assert_eq!(device.node().to_str(), Some("/dev/ublkb77"));
        device.stop().unwrap();
        device.wait().unwrap();
    }
}

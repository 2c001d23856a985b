//! A device outlives its server: its users wait for the next one, and get no error.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aim_core::intercept::Interceptor;
use aim_ublk::{DeviceConfig, Error, ReadPath, UblkDevice, kernel};

use super::bench::{MIB, bystander, image};
use super::server::{DEVICE, How, NODE, Served, configured, until_written};

/// Writes that are verified by whoever wrote them, in the background.
fn verified_writes(depth: u32, megabytes: u32) -> Child {
    let job = format!(
        "fio --name=v --filename={DEVICE} --rw=randwrite --bsrange=4k-64k --size={megabytes}M \
         --iodepth={depth} --ioengine=libaio --direct=1 --verify=crc32c --do_verify=1 \
         --verify_fatal=1 --output=/dev/null"
    );
    Command::new("bash")
        .args(["-c", &format!("exec {job}")])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether the driver forgets all of a server that ends, so that one that ends in the middle of
/// taking over has a successor, too. It does so since 6.15; one of the features since tells.
fn driver_forgets() -> bool {
    const QUIESCE: u64 = 1 << 12;
    kernel::features().unwrap().bits() & QUIESCE != 0
}

#[test]
fn requests_in_flight_are_done_again_by_the_successor() {
    let served = Served::new(64 * MIB);
    let mut server = served.start(How::Well);
    let mut writes = verified_writes(16, 48);
    for _ in 0..4 {
        until_written(8192);
        server.kill();
        server = served.start(How::Well);
        assert_eq!(fs::read_link(DEVICE).unwrap(), Path::new(NODE));
    }
    assert!(writes.wait().unwrap().success());
    server.end();
}

#[test]
fn a_successor_serves_as_the_device_was_made_and_with_its_own_threads() {
    let served = Served::new(64 * MIB);
    let mut server = served.start(How::Directly);
    let path = UblkDevice::waiting("served");
    assert!(matches!(path, Err(Error::NameInUse { .. })), "{path:?}");
    let mut writes = verified_writes(16, 48);
    for how in [How::Well, How::Directly, How::Well, How::Directly] {
        until_written(8192);
        server.kill();
        server = served.start(how);
    }
    assert!(writes.wait().unwrap().success());
    server.kill();
    let features = kernel::features().unwrap();
    let mut config = configured(How::Well, &served.disk());
    config.fit(&UblkDevice::waiting("served").unwrap().unwrap());
    let made = match features.zero_copy_reads() {
        true => ReadPath::ZeroCopy,
        false => ReadPath::Copy,
    };
    assert_eq!(config.read_path, made);
    served.start(How::Well).end();
}

#[test]
fn a_process_that_executes_its_program_anew_goes_on_with_its_device() {
    let served = Served::new(64 * MIB);
    let mut server = served.start(How::Well);
    let mut writes = verified_writes(16, 48);
    for _ in 0..4 {
        until_written(8192);
        server.execute_anew();
    }
    assert!(writes.wait().unwrap().success());
    server.end();
}

#[test]
fn a_server_can_be_killed_with_every_slot_taken() {
    let served = Served::new(64 * MIB);
    let mut server = served.start(How::Narrowly);
    let mut writes = verified_writes(16, 16);
    for _ in 0..2 {
        until_written(4096);
        server.kill();
        server = served.start(How::Narrowly);
    }
    assert!(writes.wait().unwrap().success());
    server.end();
}

#[test]
fn a_successor_that_is_killed_at_once_has_a_successor() {
    let served = Served::new(64 * MIB);
    let mut server = served.start(How::Well);
    let mut writes = verified_writes(16, 32);
    for _ in 0..4 {
        until_written(4096);
        server.kill();
        if driver_forgets() {
            let hasty = served.spawn(How::Well);
            hasty.until_open();
            hasty.kill();
        }
        served.start(How::Well).kill();
        server = served.start(How::Well);
    }
    assert!(writes.wait().unwrap().success());
    server.end();
}

#[test]
fn a_server_that_dies_between_two_is_followed_or_said_to_be_the_last() {
    let served = Served::new(MIB);
    served.start(How::Well).kill();
    served.spawn(How::Fatally).ends_badly();
    if driver_forgets() {
        return served.start(How::Well).end();
    }
    let config = configured(How::Well, &served.disk());
    let interceptor = bystander(&config);
    match UblkDevice::start(config, interceptor, 0) {
        Err(Error::NotTakenOver { device, .. }) => assert_eq!(device, Path::new(NODE)),
        other => panic!("{other:?}"),
    }
    // it waits on until it is given up
    assert!(UblkDevice::waiting("served").unwrap().is_some());
    UblkDevice::abandon("served").unwrap().unwrap();
    served.start(How::Well).end();
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_configured_anew_gives_way() {
    let served = Served::new(MIB);
    served.start(How::Well).kill();
    let other = served.disk().with_file_name("other");
    image(&other, 2 * MIB);
    let start = |config: DeviceConfig| {
        let interceptor: std::sync::Arc<dyn Interceptor> = bystander(&config);
        UblkDevice::start(config, interceptor, 0)
    };
    let refused = |config: DeviceConfig, what: &str| match start(config) {
        Err(Error::NotTakenOver { source, .. }) => {
            assert!(source.to_string().contains(what), "{source}");
        }
        outcome => panic!("{outcome:?}"),
    };
    refused(configured(How::Well, &other), "size in bytes is 1048576");
    let mut narrow = configured(How::Narrowly, &served.disk());
    refused(narrow.clone(), "request slots is 64");
    let waiting = UblkDevice::waiting("served").unwrap().unwrap();
    narrow.fit(&waiting);
    let device = start(narrow).unwrap();
    assert!(device.was_taken_over());
    assert_eq!((device.id(), device.queues()), (88, 2));
    device.stop().unwrap();
    device.wait().unwrap();
    assert_eq!(UblkDevice::waiting("served").unwrap(), None);
}

#[test]
fn the_users_of_an_abandoned_device_get_errors() {
    let served = Served::new(MIB);
    served.start(How::Well).kill();
    let mut reader = Command::new("dd")
        .args(["of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
        .arg(format!("if={NODE}"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // it waits, in a sleep that nothing but its I/O ends
    let state = format!("/proc/{}/stat", reader.id());
    while !fs::read_to_string(&state).unwrap().contains(" (dd) D ") {
        std::thread::yield_now();
    }
    assert_eq!(
        UblkDevice::abandon("served").unwrap().unwrap(),
        Path::new(NODE)
    );
    assert!(!reader.wait().unwrap().success());
    assert!(!Path::new(NODE).exists() && fs::symlink_metadata(DEVICE).is_err());
    assert_eq!(UblkDevice::abandon("served").unwrap(), None);
    served.start(How::Well).end();
}

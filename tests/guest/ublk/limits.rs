//! Block sizes and limits are those of the disk behind.

use std::fs;

use aim_ublk::UblkDevice;

use super::bench::{EVEN, MIB, bystander, config, directory, image, output, witness};
use crate::machine::shell;

fn queue(node: &str, file: &str) -> String {
    let name = node.trim_start_matches("/dev/");
    let path = format!("/sys/block/{name}/queue/{file}");
    fs::read_to_string(&path).unwrap().trim().to_owned()
}

#[test]
fn a_disk_with_blocks_of_4096_gives_such_a_device() {
    shell("modprobe loop");
    let directory = directory();
    let (disk, mirror) = (
        directory.path().join("disk"),
        directory.path().join("mirror"),
    );
    image(&disk, 32 * MIB);
    image(&mirror, 32 * MIB);
    let node = output(&format!("losetup --show -f -b 4096 {}", disk.display()));
    let config = config(node.as_ref());
    let interceptor = witness(&config, &mirror, EVEN);
    let device = UblkDevice::start(config, interceptor, 0).unwrap();
    let own = device.node().to_str().unwrap();
    for file in [
        "logical_block_size",
        "physical_block_size",
        "rotational",
        "minimum_io_size",
    ] {
        assert_eq!(queue(own, file), queue(&node, file), "{file}");
    }
    assert_eq!(queue(own, "logical_block_size"), "4096");
    assert_eq!(
        queue(own, "discard_granularity"),
        queue(&node, "discard_granularity")
    );
    shell(&format!(
        "dd if=/dev/urandom of={own} bs=4k count=100 oflag=direct status=none"
    ));
    drop(device);
    shell(&format!("losetup -d {node}"));
}

#[test]
fn queue_threads_are_exempt_from_writeback() {
    let directory = directory();
    let disk = directory.path().join("disk");
    image(&disk, MIB);
    let config = config(&disk);
    let interceptor = bystander(&config);
    let device = UblkDevice::start(config, interceptor, 0).unwrap();
    let prefix = format!("ublk{}-q", device.id());
    let mut found = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if !fs::read_to_string(task.join("comm"))
            .unwrap()
            .starts_with(&prefix)
        {
            continue;
        }
        found += 1;
        let stat = fs::read_to_string(task.join("stat")).unwrap();
        // the name in parentheses may hold blanks; flags are the seventh field after it
        let flags: u64 = stat[stat.rfind(')').unwrap()..]
            .split(' ')
            .nth(7)
            .unwrap()
            .parse()
            .unwrap();
        // PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE
        assert_eq!(flags & 0x18_0000, 0x18_0000, "{stat}");
    }
    assert_eq!(found, device.queues());
}

//! Requests that name a range instead of carrying its bytes.

use crate::machine::shell;
use crate::pair::Pair;

#[test]
fn blkdiscard_of_a_part_and_of_the_whole() {
    let pair = Pair::new();
    let device = pair.device();
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=1M count=12 oflag=direct status=none"
    ));
    shell(&format!("blkdiscard --offset 2M --length 3M {device}"));
    shell(&format!("blkdiscard -z --offset 7M --length 1M {device}"));
    let read = |skip: u32, count: u32| {
        shell(&format!(
            "dd if={device} bs=1M skip={skip} count={count} iflag=direct status=none | tr -d '\\0' | wc -c"
        ))
    };
    assert_eq!(read(2, 3).trim(), "0", "a discarded range reads as zeroes");
    assert_eq!(read(7, 1).trim(), "0", "a zeroed range reads as zeroes");
    assert_ne!(read(8, 1).trim(), "0", "its neighbour is untouched");
    pair.source().settle();
    shell(&format!("blkdiscard {device}"));
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=4k seek=3 count=1 oflag=dsync status=none"
    ));
    pair.end();
}

#[test]
fn fallocate_on_the_device() {
    let pair = Pair::new();
    let device = pair.device();
    shell(&format!(
        "dd if=/dev/urandom of={device} bs=1M count=10 oflag=direct status=none
         fallocate --zero-range --offset 1M --length 2M {device}
         fallocate --punch-hole --offset 5M --length 4M {device}
         dd if=/dev/urandom of={device} bs=64k seek=100 count=2 conv=notrunc,fsync status=none"
    ));
    pair.end();
}

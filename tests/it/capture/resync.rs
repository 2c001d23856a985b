//! P3: what the disk failed, or nobody knows, is copied while requests go on.

use std::sync::atomic::{AtomicBool, Ordering};

use aim_core::capture::Wanted;

use super::*;

/// A disk with a bad place at its start.
#[derive(Debug)]
pub(super) struct Failing {
    disk: Arc<MemDevice>,
    pub(super) fails_writes: AtomicBool,
    fails_reads: AtomicBool,
}

impl Failing {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            disk: disk(),
            fails_writes: AtomicBool::new(false),
            fails_reads: AtomicBool::new(false),
        })
    }
}

impl BlockDevice for Failing {
    fn size(&self) -> ByteLen {
        self.disk.size()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> std::io::Result<()> {
        match offset.get() == 0 && self.fails_reads.load(Ordering::Relaxed) {
            true => Err(std::io::ErrorKind::Other.into()),
            false => self.disk.read(offset, buffer),
        }
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> std::io::Result<()> {
        match offset.get() == 0 && self.fails_writes.load(Ordering::Relaxed) {
            true => {
                // a part of it has got there
                self.disk.write(offset, &data[..BLOCK])?;
                Err(std::io::ErrorKind::Other.into())
            }
            false => self.disk.write(offset, data),
        }
    }

    fn write_zeroes(&self, at: ByteOffset, len: ByteLen, unmap: bool) -> std::io::Result<()> {
        self.disk.write_zeroes(at, len, unmap)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.disk.sync()
    }
}

#[test]
fn capture_copies_what_a_failed_write_has_left() {
    let (source, device) = (Source::new(None), Failing::new());
    let mirrored = source.start(device.clone());
    mirrored.write(ByteOffset(4096), &[1; 512]).unwrap();
    device.fails_writes.store(true, Ordering::Relaxed);
    mirrored.write(ByteOffset(0), &[2; 1024]).unwrap_err();
    mirrored.write(ByteOffset(8192), &[3; 512]).unwrap();
    wait_until(|| mirrored.capture().status().captured >= Lsn(5));
    source.heal(&mirrored);
    mirrored.stop().unwrap();
    assert_eq!(device.disk.content()[..512], [2; 512]);
    assert!(source.mirrored() == device.disk.content());
}

#[test]
fn what_can_not_be_read_is_said_and_holds_up_nothing() {
    let (source, device) = (Source::new(None), Failing::new());
    let mirrored = source.start(device.clone());
    device.fails_reads.store(true, Ordering::Relaxed);
    mirrored.write(ByteOffset(1 << 19), &[1; 512]).unwrap();
    mirrored.capture().request_resync(&[Wanted::All]);
    let unreadable = || {
        let resync = mirrored.capture().status().resync.unwrap_or_default();
        (resync.unreadable.get(), resync.needed.get())
    };
    wait_until(|| unreadable() == (EXTENT, EXTENT));
    let pass = mirrored.capture().request_verify();
    wait_until(|| mirrored.capture().status().verify.passes >= pass);
    let skipped = mirrored.capture().status().verify.last_skipped;
    assert_eq!(skipped, ByteLen(SIZE as u64), "one digest is for all of it");
    device.fails_reads.store(false, Ordering::Relaxed);
    let at = Wanted::Range {
        device: 0,
        offset: ByteOffset(0),
        len: ByteLen(1),
    };
    mirrored.capture().request_resync(&[at]);
    source.heal(&mirrored);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.disk.content());
}

/// The first copy: the disk holds something that the series does not tell, and writes go on.
#[test]
fn a_whole_disk_is_copied_under_load() {
    let (source, device) = (Source::new(None), disk());
    let mut rng = Rng::new(4);
    let mut content = vec![0; SIZE / 2];
    rng.fill(&mut content);
    device.write(ByteOffset(4096), &content).unwrap();
    let spool = source.spool();
    let folder = source.files.folder("/journal");
    ExtentMap::create(&*folder, spool.identity(), Initial::Unknown, Some(EXTENT)).unwrap();
    let mirrored = source.start(device.clone());
    assert!(mirrored.capture().status().resync.is_some());
    (0..200).for_each(|_| change(&mirrored, &mut rng));
    source.heal(&mirrored);
    mirrored.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

/// It goes on after an interruption, with what was not copied.
#[test]
fn an_interrupted_resync_goes_on() {
    let (mut source, device) = (Source::new(None), disk());
    source.config.rates.resync = Some(ByteLen(1 << 20));
    device.write(ByteOffset(0), &vec![6; SIZE]).unwrap();
    let mirrored = source.start(device.clone());
    mirrored.capture().request_resync(&[Wanted::All]);
    let copied = || {
        mirrored
            .capture()
            .status()
            .resync
            .map(|resync| resync.copied)
    };
    wait_until(|| copied().is_some_and(|copied| copied.get() >= 4 * EXTENT));
    mirrored.stop().unwrap();
    source.config.rates.resync = None;
    let successor = source.start(device.clone());
    let left = successor.capture().status().resync.unwrap();
    assert!(left.needed.get() < SIZE as u64, "{left:?}");
    source.heal(&successor);
    successor.stop().unwrap();
    assert!(source.mirrored() == device.content());
}

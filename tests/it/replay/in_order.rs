//! What replay does when nothing goes wrong.

use std::io;
use std::sync::{Arc, Mutex};

use aim_core::device::BlockDevice;
use aim_core::format::Kind;
use aim_core::replay::Outcome;
use aim_core::units::{ByteLen, ByteOffset};
use aim_tests::{Series, SeriesFile};

use super::mirror::{Mirror, two_disks};

#[test]
fn the_devices_hold_what_the_source_held_after_each_file() {
    for seed in 0..20 {
        let mut series = Series::new(two_disks(), seed);
        let mirror = Mirror::new(series.identity(), seed);
        let mut replay = mirror.start().unwrap();
        for count in [1, 40, 3, 200] {
            let file = series.next_file(count);
            let Outcome::Applied(summary) = replay.apply(&series.verified(&file)).unwrap() else {
                panic!("seed {seed}: a new file was not applied");
            };
            assert_eq!(summary.transactions, u64::from(count));
            mirror.power_cut(seed);
            assert!(
                mirror.content() == file.devices,
                "seed {seed}, {}",
                file.position
            );
            let cursor = mirror.cursor();
            assert!(cursor.is_settled());
            assert_eq!(cursor.applied, file.position);
            assert_eq!(cursor.applied_time, file.last_time);
            replay = mirror.start().unwrap();
        }
    }
}

#[test]
fn a_file_that_was_applied_is_harmless() {
    let mut series = Series::new(two_disks(), 5);
    let mirror = Mirror::new(series.identity(), 5);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..3).map(|_| series.next_file(10)).collect();
    for file in &files {
        assert!(matches!(
            replay.apply(&series.verified(file)),
            Ok(Outcome::Applied(_))
        ));
    }
    let steps = mirror.power.steps();
    for file in &files {
        assert_eq!(
            replay.apply(&series.verified(file)).unwrap(),
            Outcome::AlreadyApplied
        );
    }
    assert_eq!(mirror.power.steps(), steps, "something was written");
    assert!(mirror.content() == files[2].devices);
}

#[test]
fn a_run_of_files_is_applied_as_one_and_may_begin_with_old_ones() {
    let mut series = Series::new(two_disks(), 6);
    let mirror = Mirror::new(series.identity(), 6);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..5).map(|_| series.next_file(20)).collect();
    let verified: Vec<_> = files.iter().map(|file| series.verified(file)).collect();
    replay.apply(&verified[0]).map(drop).unwrap();
    let run: Vec<_> = verified[..4].iter().collect();
    let summary = replay.apply_run(&run).unwrap();
    assert_eq!((summary.files_skipped, summary.files), (1, 3));
    assert_eq!(summary.reached, files[3].position);
    assert!(mirror.content() == files[3].devices);
    assert_eq!(replay.apply_run(&[]).unwrap().files, 0);
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let mut series = Series::new(two_disks(), 7);
    let mirror = Mirror::new(series.identity(), 7);
    let mut replay = mirror.start().unwrap();
    let files: Vec<SeriesFile> = (0..3).map(|_| series.next_file(50)).collect();
    let verified: Vec<_> = files.iter().map(|file| series.verified(file)).collect();
    let run: Vec<_> = verified.iter().collect();
    let told = replay.dry_run(&run).unwrap();
    assert_eq!(mirror.power.steps(), 0);
    assert!(mirror.cursor().applied.is_start());
    assert!(
        replay.dry_run(&run[1..]).is_err(),
        "the first file is missing"
    );
    assert_eq!(replay.apply_run(&run).unwrap(), told);
    assert_eq!(told.transactions, 150);
    let plain = told.writes + told.zeroings + told.flushes + told.voids;
    assert!(told.groups > 0 && told.verifies > 0);
    assert_eq!(plain + told.verifies + 2 * told.groups, 150);
    assert_eq!(replay.dry_run(&run).unwrap().files, 0);
}

/// Inside of a run writes may move, also over flushes, and what is covered by a later one is not done
/// at all. What is read stands where it does in the series.
#[test]
fn what_is_read_is_what_stands_before_it_and_what_stays_is_written_once() {
    let (mut recorded, mut written) = (0, 0);
    for seed in 0..20 {
        let mut series = Series::new(two_disks(), seed);
        let mirror = Mirror::new(series.identity(), seed);
        let log = Arc::new(Mutex::new(Vec::new()));
        let disks = mirror.devices.iter().zip(0..);
        let devices = disks.map(|(disk, device)| -> Arc<dyn BlockDevice> {
            Arc::new(Recorder {
                disk: disk.clone(),
                device,
                log: log.clone(),
            })
        });
        let mut replay = mirror
            .start_with(devices.collect(), mirror.folder())
            .unwrap();
        let file = series.next_file(300);
        let verified = series.verified(&file);
        replay.apply(&verified).map(drop).unwrap();

        let log = std::mem::take(&mut *log.lock().unwrap());
        let mut disks: Vec<Vec<u8>> = mirror.content();
        disks.iter_mut().for_each(|disk| disk.fill(0));
        let mut reads = log.iter().filter(|touch| touch.what == "read");
        for iocb in verified.records() {
            let start = iocb.offset.get() as usize;
            let range = start..start + iocb.len.get() as usize;
            let disk = &mut disks[usize::from(iocb.device)];
            match iocb.kind {
                Kind::Write => {
                    let read = verified.read_payload(iocb, &mut disk[range]);
                    read.unwrap();
                    recorded += iocb.len.get();
                }
                Kind::Verify { .. } => {
                    let read = reads.next().unwrap();
                    let place = (read.device, read.offset, read.len);
                    assert_eq!(place, (iocb.device, iocb.offset.get(), iocb.len.get()));
                    assert!(read.bytes == disk[range], "seed {seed}, LSN {}", iocb.lsn);
                }
                kind if kind.changes_bytes() => disk[range].fill(0),
                _ => {}
            }
        }
        assert_eq!(reads.next(), None);
        assert!(mirror.content() == disks && disks == file.devices);
        let writes = log.iter().filter(|touch| touch.what == "write");
        written += writes.map(|touch| touch.len).sum::<u64>();
        // zeroes are not gathered: each is done where it stands
        let zeroes = |device| log.iter().filter(move |touch| touch.is("zero", device));
        for device in 0..2 {
            let changes = verified.records().iter().filter(|iocb| {
                let is_zero = iocb.kind.changes_bytes() && iocb.kind != Kind::Write;
                is_zero && iocb.device == device
            });
            let expected: Vec<u64> = changes.map(|iocb| iocb.offset.get()).collect();
            let done: Vec<u64> = zeroes(device).map(|touch| touch.offset).collect();
            assert_eq!(done, expected, "seed {seed}");
        }
    }
    assert!(written < recorded, "{written} of {recorded}");
}

/// What was done to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Touch {
    device: u16,
    what: &'static str,
    offset: u64,
    len: u64,
    /// What was read.
    bytes: Vec<u8>,
}

impl Touch {
    fn is(&self, what: &str, device: u16) -> bool {
        (self.what, self.device) == (what, device)
    }
}

/// A disk that writes down what is done to it.
#[derive(Debug)]
struct Recorder {
    disk: Arc<dyn BlockDevice>,
    device: u16,
    log: Arc<Mutex<Vec<Touch>>>,
}

impl Recorder {
    fn note(&self, what: &'static str, offset: ByteOffset, len: u64, bytes: &[u8]) {
        self.log.lock().unwrap().push(Touch {
            device: self.device,
            what,
            offset: offset.get(),
            len,
            bytes: bytes.to_vec(),
        });
    }
}

impl BlockDevice for Recorder {
    fn size(&self) -> ByteLen {
        self.disk.size()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read(&self, offset: ByteOffset, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, buffer)?;
        self.note("read", offset, buffer.len() as u64, buffer);
        Ok(())
    }

    fn write(&self, offset: ByteOffset, data: &[u8]) -> io::Result<()> {
        self.note("write", offset, data.len() as u64, &[]);
        self.disk.write(offset, data)
    }

    fn write_zeroes(&self, offset: ByteOffset, len: ByteLen, unmap: bool) -> io::Result<()> {
        self.note("zero", offset, len.get(), &[]);
        self.disk.write_zeroes(offset, len, unmap)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}
